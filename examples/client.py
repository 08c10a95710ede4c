"""Make a tune of one or more photos and draw with it, by gradio_client.

python examples/client.py http://127.0.0.1:7860 1.jpg 2.jpg
"""

import sys

from gradio_client import Client, handle_file

url, *photos = sys.argv[1:]
client = Client(url, verbose=False)  # not on your own machine: headers={"X-FaceID-Key": "20 characters or more"}

tune = client.predict([handle_file(photo) for photo in photos], "John Doe", "person", api_name="/create_tune")
print("tune", tune["id"], "until", tune["expires_at"])

gallery, details = client.predict(f"{tune['tag']} person trekking in the alps", 2, seed=1, api_name="/generate")
for picture in gallery:
    print(picture["caption"], picture["image"])
print(*details["notes"], sep="\n")

client.predict(tune["id"], api_name="/delete_tune")
