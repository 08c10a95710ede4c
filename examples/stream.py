"""Show pictures as they come instead of waiting for the last one.

python examples/stream.py http://127.0.0.1:7860 "<faceid:ID:0.9> woman, blue hour"
"""

import sys

from gradio_client import Client

url, text = sys.argv[1:]
client = Client(url, verbose=False)
shown = 0
for gallery, details in client.submit(text, num_images=3, api_name="/generate"):
    for picture in gallery[shown:]:
        print(picture["caption"], picture["image"])
    shown = len(gallery)
    if details["status"] == "done":
        print("done")
