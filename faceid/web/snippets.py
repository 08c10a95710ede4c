"""How to call this app from elsewhere, filled in with its own address and a tune of the reader's. Pure text."""

from faceid.prompt_syntax import tag_of

PYTHON = """\
from gradio_client import Client, handle_file

client = Client("{address}"{headers})

tune = client.predict([handle_file("1.jpg"), handle_file("2.jpg")], "John Doe", "man", api_name="/create_tune")
print(tune["id"], tune["tag"])

gallery, details = client.predict("{tag} {name} trekking in the alps", 2, api_name="/generate")
for picture in gallery:
    print(picture["image"], picture["caption"])
"""

CURL = """\
# 1. Upload a photo, 2. make a tune of it, 3. read the answer
FILE=$(curl -s {address}/gradio_api/upload -F "files=@1.jpg" | tr -d '[]"')
EVENT=$(curl -s {address}/gradio_api/call/v2/create_tune{curl_headers} -H "Content-Type: application/json" \\
  -d '{{"photos": [{{"path": "'$FILE'", "meta": {{"_type": "gradio.FileData"}}}}],
       "title": "John Doe", "name": "man"}}' \\
  | sed 's/.*"event_id": *"\\([^"]*\\)".*/\\1/')
curl -sN {address}/gradio_api/call/create_tune/$EVENT

# Draw with it
EVENT=$(curl -s {address}/gradio_api/call/v2/generate{curl_headers} -H "Content-Type: application/json" \\
  -d '{{"text": "{tag} {name} trekking in the alps", "num_images": 2}}' \\
  | sed 's/.*"event_id": *"\\([^"]*\\)".*/\\1/')
curl -sN {address}/gradio_api/call/generate/$EVENT
"""


def python_snippet(address: str, tune_id: int | str, name: str, *, needs_key: bool) -> str:
    """A gradio_client script for this app."""
    headers = ', headers={"X-FaceID-Key": "a key of your own, 20 characters or more"}' if needs_key else ""
    return PYTHON.format(address=address, tag=tag_of(tune_id), name=name, headers=headers)


def curl_snippet(address: str, tune_id: int | str, name: str, *, needs_key: bool) -> str:
    """The same by curl."""
    headers = ' -H "X-FaceID-Key: $KEY"' if needs_key else ""
    return CURL.format(address=address, tag=tag_of(tune_id), name=name, curl_headers=headers)
