"""faceid.recipe: what a picture file says, what it never says, and what is read back."""

import io
import json
import struct
import xml.etree.ElementTree as ET
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from faceid.recipe import FIELDS, encode_picture, read_recipe

RECIPE = {
    "text": 'a <faceid:17:0.9> "woman" & a dog, é',
    "seed": 2**32 - 1,
    "steps": 28,
    "cfg_scale": 3.5,
    "base_model": "flux1-dev",
    "film_grain": True,
    "color_grading": "Ektar",
    "notes": [["face_swap", "left out"]],
}
XMP = {"Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "xmp": "http://ns.adobe.com/xap/1.0/"}


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8))


def described(content: bytes) -> dict[str, str]:
    """The attributes of the XMP packet's one description."""
    packet = Image.open(io.BytesIO(content)).info["XML:com.adobe.xmp"]
    (description,) = ET.fromstring(packet.split("?>", 1)[1].rsplit("<?xpacket", 1)[0]).iter(
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
    )
    return description.attrib


def test_what_is_written_is_read_back(picture):
    content = encode_picture(picture, RECIPE)
    assert read_recipe(content) == RECIPE
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), np.asarray(picture))


def test_it_says_that_it_was_generated(picture):
    said = described(encode_picture(picture, RECIPE))
    source = said[f"{{{XMP['Iptc4xmpExt']}}}DigitalSourceType"]
    assert source == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert said[f"{{{XMP['xmp']}}}CreatorTool"] == "FaceID for Flux"
    assert said[f"{{{XMP['Iptc4xmpExt']}}}AIPromptInformation"] == RECIPE["text"]


def test_nothing_else_is_written(picture):
    picture.info["comment"] = "GPS 47.1, 11.3"
    secrets = {"owner": "somebody", "vector": [0.25] * 512, "callback": "https://example.org/key", "steps": True}
    content = encode_picture(picture, RECIPE | secrets)
    assert read_recipe(content) == {name: value for name, value in RECIPE.items() if name != "steps"}
    for secret in (b"somebody", b"0.25", b"example.org", b"GPS"):
        assert secret not in content


def test_what_is_none_is_left_out(picture):
    assert read_recipe(encode_picture(picture, {"text": "x", "style": None})) == {"text": "x"}


def written(text: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("faceid", text)
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\nbroken",
        written("not json"),
        written("[1, 2]"),
        written('"text"'),
        written("[" * 15_000),
        written(json.dumps({"text": "x" * 30_000})),
    ],
    ids=["empty", "broken", "no-json", "a-list", "a-string", "deep", "long"],
)
def test_files_without_a_recipe(content):
    assert read_recipe(content) is None


def test_a_file_that_claims_a_billion_pixels_has_no_recipe():
    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    assert read_recipe(content + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))) is None


def test_other_kinds_and_other_fields_are_not_read():
    forged = written(json.dumps({"text": 5, "steps": "28", "seed": True, "cfg_scale": 4, "evil": "x", "faster": 1}))
    assert read_recipe(forged) == {"cfg_scale": 4}


def test_the_fields_name_no_person():
    assert not {"owner", "tune", "vector", "photos", "callback", "input_image"} & FIELDS.keys()
