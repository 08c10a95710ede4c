"""Files that nobody sends in good faith, and photos that are something else too."""

import io
import re
import struct
import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pillow_heif
from pictures import astronaut, encode
from PIL import Image

WORDS = re.compile(r"\w{2,} \w{2,} \w{2,}")  # a sentence
HERE = Path(__file__).parent
BIDI, NUL = "abc\u202egpj.exe", "a\x00b"


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@cache
def png_bomb(width: int, height: int) -> bytes:
    """A sound PNG, all black, of a thousandth of its pixels' bytes."""
    rows = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    pixels = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def webp_bomb() -> bytes:
    """A lossless WebP whose header claims 16384 x 16384 px."""
    picture = bytearray(encode(Image.new("RGB", (64, 64)), "WEBP", lossless=True).content)
    at = picture.index(b"VP8L") + 9
    picture[at : at + 4] = (16383 | 16383 << 14).to_bytes(4, "little")
    return bytes(picture)


def resized_box(form: str) -> bytes:
    """An AVIF or HEIC whose `ispe` boxes claim 40000 x 40000 px."""
    file = io.BytesIO()
    if form == "AVIF":
        Image.new("RGB", (64, 64)).save(file, "AVIF")
    else:
        pillow_heif.from_pillow(Image.new("RGB", (64, 64))).save(file)
    return re.sub(
        rb"(ispe.{4}).{8}",
        rb"\1" + struct.pack(">II", 40_000, 40_000).replace(b"\\", b"\\\\"),
        file.getvalue(),
        flags=re.DOTALL,
    )


def tiff_bomb() -> bytes:
    file = io.BytesIO()
    Image.new("1", (8000, 8000)).save(file, "TIFF", compression="group4")
    return file.getvalue()


def many_scans() -> bytes:
    """A progressive JPEG that refines its last scan a thousand times."""
    whole = encode(astronaut(), "JPEG", progressive=True).content
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * 1000 + b"\xff\xd9"


def zipped(content: bytes) -> bytes:
    """The same with a ZIP archive behind it, which opens as one too."""
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("evil.html", "<script>alert(1)</script>")
    return file.getvalue()


SCRIPT = b"/*<script>alert(1)</script>*/=1;alert(document.domain)"


def animated(image: Image.Image, form: str) -> bytes:
    return encode(image, form, save_all=True, append_images=[Image.new("RGB", image.size, "red")]).content


def text_bomb() -> bytes:
    """A PNG with a text of 100 MB."""
    small = png_bomb(8, 8)
    return small[:33] + chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(10**8))) + small[33:]


REFUSED = {
    "a PNG of 64 megapixels in 0.2 MB": lambda: png_bomb(8000, 8000),
    "a PNG whose text is a bomb": text_bomb,
    "a WebP of 268 megapixels": webp_bomb,
    "an AVIF of 1600 megapixels": lambda: resized_box("AVIF"),
    "a HEIC of 1600 megapixels": lambda: resized_box("HEIC"),
    "a TIFF of 64 megapixels": tiff_bomb,
    "a JPEG of 1000 scans": many_scans,
    "a GIF that is a script": lambda: b"GIF89a" + SCRIPT,
    "an animated GIF": lambda: animated(Image.new("RGB", (64, 64)), "GIF"),
    "an SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>',
    "an SVG with entities": lambda: b'<!DOCTYPE s [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>',
    "a page": lambda: b"<!doctype html><script>alert(1)</script>",
    "a PDF": lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "an archive": lambda: zipped(b""),
    "a program": lambda: b"\x7fELF\x02\x01\x01" + bytes(500),
    "a PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run",
    "zeros": lambda: bytes(5000),
}
TAKEN = {
    "a JPEG with a ZIP behind it": lambda: zipped(encode(astronaut(), "JPEG").content),
    "a JPEG with a page in its comment": lambda: encode(astronaut(), "JPEG", comment=SCRIPT).content,
    "an animated WebP": lambda: animated(astronaut(), "WEBP"),
    "an animated PNG": lambda: animated(astronaut(), "PNG"),
    "16 bits": lambda: encode(Image.fromarray(np.asarray(astronaut().convert("L")).astype(np.uint16) * 257)).content,
    "CMYK": lambda: encode(astronaut().convert("CMYK"), "JPEG").content,
    "a palette": lambda: encode(astronaut().quantize(256)).content,
    "alpha": lambda: encode(astronaut().convert("RGBA")).content,
    "grey with alpha": lambda: encode(astronaut().convert("LA")).content,
}
