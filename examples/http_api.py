"""The product page's HTTP calls by requests: a tune from photos, then a prompt that names it.

    API_KEY=20-characters-or-more python examples/http_api.py http://127.0.0.1:7860 1.jpg 2.jpg

Changed from the page: the address; `tune.images` are the arguments; tune_id and strength are filled in; the line with
`prompts_attributes` is left out, for its `i` and `prompt` are nowhere defined. New: it waits for the pictures. (Under
the name http.py it would hide Python's own package from every script beside it.)
"""

import os
import sys
import time
from pathlib import Path

import requests

API_URL, *images = sys.argv[1:]
headers = {"Authorization": f"Bearer {os.environ.get('API_KEY', 'on-my-own-machine-any-key')}"}

data = {
    "tune[title]": "John Doe - UUID - 1234-6789-1234-56789",
    "tune[name]": "man",
    "tune[base_tune_id]": 690204,
    "tune[model_type]": "faceid",
    "tune[token]": "ohwx",
}
files = [("tune[images][]", Path(image).read_bytes()) for image in images]
response = requests.post(f"{API_URL}/tunes", data=data, files=files, headers=headers)
response.raise_for_status()
tune = response.json()

data = {
    "prompt[text]": f"<faceid:{tune['id']}:1> woman trekking in the alps",
    "prompt[negative_prompt]": "",
    "prompt[super_resolution]": True,
    "prompt[face_correct]": True,
    "prompt[face_swap]": True,
    "prompt[callback]": os.environ.get("CALLBACK", ""),
}
response = requests.post(f"{API_URL}/tunes/690204/prompts", headers=headers, data=data)
response.raise_for_status()
prompt = response.json()

while prompt["status"] not in ("done", "failed"):
    time.sleep(1)
    response = requests.get(prompt["url"], headers=headers)
    response.raise_for_status()
    prompt = response.json()
print(f"tune {tune['id']}: {prompt['status']},", prompt["images"] or prompt["user_error"])
