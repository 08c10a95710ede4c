"""What clients really put on the wire, byte by byte, against the live app; and the examples, as a user runs them."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

EXAMPLES = Path(__file__).parents[1] / "examples"
KEY = "a-key-of-the-tests-of-the-wire"
TITLE = "John Doe - UUID - 1234-6789-1234-56789"
CALLBACK = "https://optional-callback.invalid/webhooks?user_id=1&tune_id=1"  # a name that never leads anywhere


def send_raw(url: str, chunks: list[bytes]) -> tuple[int, bytes]:
    """Status and body of what the server answers to these bytes, each sent by itself."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        for chunk in chunks:
            connection.sendall(chunk)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def form_data_pieces(photos: dict[str, bytes]) -> list[bytes]:
    """The pieces that form-data 4.0.6 streams for the page's Node.js call, recorded; node-fetch 2.7 chunks each."""
    line = b"--------------------------faac9d89b4eb4c466a101037"
    texts = {"tune[title]": TITLE, "tune[model_type]": "faceid", "tune[base_tune_id]": "690204", "tune[name]": "man"}
    pieces = []
    for name, value in texts.items():
        head = f'Content-Disposition: form-data; name="{name}"\r\n\r\n'
        pieces += [b"--" + line + b"\r\n" + head.encode(), value.encode(), b"\r\n"]
    for name, content in photos.items():
        head = f'Content-Disposition: form-data; name="tune[images][]"; filename="{name}"\r\n'
        pieces += [b"--" + line + b"\r\n" + head.encode() + b"Content-Type: image/jpeg\r\n\r\n", content, b"\r\n"]
    return [*pieces, b"--" + line + b"--\r\n"]


def test_the_bytes_of_node_fetch_with_form_data(app_url, astronaut):
    head = (
        "POST /tunes HTTP/1.1\r\n"
        f"Authorization: Bearer {KEY}\r\n"
        "Content-Type: multipart/form-data;boundary=--------------------------faac9d89b4eb4c466a101037\r\n"
        "Accept: */*\r\n"
        "User-Agent: node-fetch/1.0 (+https://github.com/bitinn/node-fetch)\r\n"
        "Accept-Encoding: gzip,deflate\r\n"
        f"Host: {urlsplit(app_url).netloc}\r\n"
        "Connection: close\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode()
    pieces = form_data_pieces({"1.jpg": astronaut.content, "2.jpg": astronaut.content})
    chunked = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces]
    status, body = send_raw(app_url, [head, *chunked, b"0\r\n\r\n"])
    assert status == 201, body
    assert TITLE.encode() in body


def test_the_bytes_of_requests_without_a_content_type_the_filename_being_the_fields(app_url, astronaut):
    data = {"tune[title]": TITLE, "tune[name]": "man", "tune[base_tune_id]": 690204, "tune[model_type]": "faceid"}
    request = requests.Request(
        "POST", f"{app_url}/tunes", data=data, files=[("tune[images][]", astronaut.content)],
        headers={"Authorization": f"Bearer {KEY}"},
    ).prepare()  # fmt: skip
    part = b'Content-Disposition: form-data; name="tune[images][]"; filename="tune[images][]"\r\n\r\n\xff\xd8'
    assert part in request.body
    answer = requests.Session().send(request)
    assert answer.status_code == 201, answer.text
    assert len(answer.json()["orig_images"]) == 1


def test_the_prompt_that_the_pages_python_sends(app_url):
    data = {
        "prompt[text]": "woman trekking in the alps",
        "prompt[negative_prompt]": "",
        "prompt[super_resolution]": True,
        "prompt[face_correct]": True,
        "prompt[face_swap]": True,
        "prompt[callback]": CALLBACK,
    }
    answer = requests.post(
        f"{app_url}/tunes/690204/prompts", headers={"Authorization": f"Bearer {KEY}"}, data=data
    )  # urlencoded, and True in capitals
    prompt = answer.json()
    assert answer.status_code == 201, prompt
    assert (prompt["super_resolution"], prompt["face_swap"], prompt["negative_prompt"]) == (True, True, "")
    requests.delete(prompt["url"], headers={"Authorization": f"Bearer {KEY}"})


@pytest.mark.parametrize(
    ("program", "script"), [("bash", "http.sh"), (sys.executable, "http_api.py"), ("node", "http.mjs")]
)
def test_the_examples(app_url, astronaut_path, program, script):
    if not shutil.which(program):
        pytest.skip("node is not installed")
    environment = os.environ | {"API_KEY": f"{KEY}-{script}", "CALLBACK": CALLBACK}
    command = [program, EXAMPLES / script, app_url, astronaut_path, astronaut_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.startswith("tune ")
    assert ": done, " in done.stdout
    assert done.stdout.count("/pictures/") == 4
