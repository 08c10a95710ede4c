"""What a caller may ask for: ranges, defaults, class words. Data for validation, the page's sliders and the README."""

from typing import NamedTuple


class Limit(NamedTuple):
    """An inclusive range and what is used where nothing is given (None: the base model says)."""

    low: float
    high: float
    default: float | None
    unit: str = ""


LIMITS: dict[str, Limit] = {
    "strength": Limit(0, 3, 1),
    "num_images": Limit(1, 8, 4),
    "best_of": Limit(1, 16, 1),
    "seed": Limit(0, 2**32 - 1, None),
    "steps": Limit(1, 50, None),
    "cfg_scale": Limit(0, 15, None),
    "true_cfg_scale": Limit(1, 10, 1),
    "true_cfg_start": Limit(0, 1, None),
    "identity_start": Limit(0, 1, None),
    "denoising_strength": Limit(0, 1, 0.8),
    "w": Limit(256, 2048, None, "px"),
    "h": Limit(256, 2048, None, "px"),
    "photos": Limit(1, 20, None),
    "photo_bytes": Limit(1, 20 * 2**20, None, "bytes"),
    "photo_pixels": Limit(1, 50_000_000, None, "px"),
    "face_side": Limit(48, 100_000, None, "px"),
    "title": Limit(1, 200, None, "characters"),
    "text": Limit(1, 4000, None, "characters"),
    "body_bytes": Limit(0, (20 * 20 + 32) * 2**20, None, "bytes"),
    "body_text_bytes": Limit(0, 32 * 2**20, None, "bytes"),
    "body_values": Limit(0, 2000, None),
    "body_depth": Limit(0, 8, None),
}

CLASS_NAMES = ("man", "woman", "boy", "girl", "person", "baby", "child", "couple")
REFUSED_CLASS_NAMES = ("cat", "dog", "style")
SCHEDULERS = ("euler",)
