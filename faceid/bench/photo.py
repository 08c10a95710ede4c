"""The photo that is measured with: NASA's portrait of Eileen Collins (public domain), as large as a 1080p camera's."""

import io
from pathlib import Path

from PIL import Image

from faceid.domain import Upload

ROOT = Path(__file__).parents[2]
PORTRAIT = ROOT / "examples" / "photos" / "astronaut.jpg"
SIZE = (1920, 1080)


def make_photo() -> Upload:
    """A 1920 × 1080 JPEG: the portrait over the full height, a grey gradient on both sides."""
    width, height = SIZE
    photo = Image.linear_gradient("L").resize(SIZE).convert("RGB")
    with Image.open(PORTRAIT) as portrait:
        photo.paste(
            portrait.convert("RGB").resize((height, height), Image.Resampling.LANCZOS), ((width - height) // 2, 0)
        )
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=92)
    return Upload("1080p.jpg", file.getvalue())
