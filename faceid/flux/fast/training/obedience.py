"""Whether a picture does what its caption said: one measured property per word of the grammar. Knows no model.

Pictures are (S, S, 3) float arrays, 0 to 1. Where a word changes what a plain photo shows, the plain photo drawn from
the same noise is what it is compared with.
"""

from collections.abc import Callable

import numpy as np

from faceid.flux.fast.training.captions import COLOURS, SCENES, Caption
from faceid.flux.fast.training.scenes import Backgrounds

GREY_CHROMA, SEPIA_CHROMA = 0.05, 0.08  # mean of the largest less the smallest channel
SEPIA_OFF = 0.025  # what is left when every pixel has the picture's mean hue
SKETCH_LIGHT, COMIC_CHROMA, DARK = 0.6, 1.15, 0.85
LIGHT_SHIFT = 1.25  # how the ratio of red to blue changes
PLAIN_DISTANCE = 0.13  # of the background to its colour, mean over channels
BLOCKS = 1.15  # steps between squares of two pixels, against those within

Rule = Callable[[np.ndarray, np.ndarray], bool]


def obeys(picture: np.ndarray, plain: np.ndarray, caption: Caption, backgrounds: Backgrounds) -> bool:
    """Whether `picture` shows what `caption` says; `plain`: the same person and noise as a photo."""
    words = [word for word in (caption.style, caption.light) if word in RULES]
    if not all(RULES[word](picture, plain) for word in words):
        return False
    if caption.background in COLOURS:
        return _looks_plain(picture, caption.background)
    return caption.background is None or nearest_scene(picture, backgrounds) == caption.background


def nearest_scene(picture: np.ndarray, backgrounds: Backgrounds) -> str:
    """Which of SCENES the picture's background is most like: mean colours of the rows beside the person."""
    seen = _background_rows(picture)

    def distance(name: str) -> float:
        return float(np.abs(_background_rows(backgrounds.mean(name)) - seen).mean())

    return min(SCENES, key=distance)


def _background_rows(picture: np.ndarray) -> np.ndarray:
    """Mean colours of six stretches of the left and right edge, from the top to where shoulders begin, (6, 3)."""
    side = len(picture)
    edges = np.concatenate([picture[:, : side // 10], picture[:, -side // 10 :]], axis=1)[: int(side * 0.72)]
    return np.stack([part.mean((0, 1)) for part in np.array_split(edges, 6)])


def _looks_plain(picture: np.ndarray, colour: str) -> bool:
    rows = _background_rows(picture)[:4]
    return float(np.abs(rows - np.array(COLOURS[colour])).mean()) < PLAIN_DISTANCE


def _chroma(picture: np.ndarray) -> float:
    return float((picture.max(-1) - picture.min(-1)).mean())


def _warmth(picture: np.ndarray) -> float:
    return float(picture[..., 0].mean() / max(picture[..., 2].mean(), 1e-3))


def _is_sepia(picture: np.ndarray, plain: np.ndarray) -> bool:
    tone = picture.mean((0, 1))
    grey = picture.mean(-1, keepdims=True)
    off = float((picture - grey * tone / tone.mean()).std())  # of one hue
    return bool(tone[0] > tone[1] > tone[2] and _chroma(picture) > SEPIA_CHROMA and off < SEPIA_OFF)


def _is_sketch(picture: np.ndarray, plain: np.ndarray) -> bool:
    return _chroma(picture) < GREY_CHROMA and float(picture.mean()) > SKETCH_LIGHT


def _is_comic(picture: np.ndarray, plain: np.ndarray) -> bool:
    return _chroma(picture) > COMIC_CHROMA * _chroma(plain)


def _is_pixelated(picture: np.ndarray, plain: np.ndarray) -> bool:
    steps = np.stack([np.abs(np.diff(picture, axis=axis)).mean((1 - axis, 2)) for axis in (0, 1)])  # (2, S - 1)
    return bool(steps[:, 1::2].mean() > BLOCKS * steps[:, ::2].mean())


RULES: dict[str, Rule] = {
    "black and white": lambda picture, plain: _chroma(picture) < GREY_CHROMA,
    "sepia": _is_sepia,
    "pencil sketch": _is_sketch,
    "comic book": _is_comic,
    "pixel art": _is_pixelated,
    "warm light": lambda picture, plain: _warmth(picture) > LIGHT_SHIFT * _warmth(plain),
    "blue hour": lambda picture, plain: (
        _warmth(picture) * LIGHT_SHIFT < _warmth(plain) and picture.mean() < DARK * plain.mean()
    ),
}
