"""The small grammar of captions that `fast` is taught: who, drawn how, in what light, in front of what. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

PHOTO = "photo"
STYLES = (PHOTO, "black and white", "sepia", "pencil sketch", "comic book", "pixel art")
GREY_STYLES = frozenset({"black and white", "sepia", "pencil sketch"})  # light has no colour there
LIGHTS = ("warm light", "blue hour")
SCENES = ("alps", "beach", "forest", "night city", "studio")
COLOURS = {
    "red": (0.75, 0.13, 0.13),
    "orange": (0.93, 0.52, 0.13),
    "yellow": (0.93, 0.83, 0.2),
    "green": (0.15, 0.55, 0.22),
    "blue": (0.14, 0.3, 0.75),
    "purple": (0.45, 0.17, 0.6),
    "pink": (0.94, 0.55, 0.7),
    "white": (0.96, 0.96, 0.96),
    "gray": (0.5, 0.5, 0.5),
    "black": (0.04, 0.04, 0.04),
}
SPELLINGS = {"gray": ("gray", "grey")}
CLASSES = ("woman", "man", "person", "girl", "boy", "portrait", "face")

STYLE_PHRASES = {
    PHOTO: ("photo", "photo", "photograph", "a photo", "photographic", ""),
    "black and white": ("black and white photo", "black and white photo", "black and white", "film photo black white"),
    "sepia": ("sepia photo", "sepia", "old sepia photograph"),
    "pencil sketch": ("pencil sketch", "pencil drawing", "sketch", "a pencil sketch"),
    "comic book": ("comic book", "comic book style", "comic", "comic book art"),
    "pixel art": ("pixel art", "pixel art style", "pixel"),
}
LIGHT_PHRASES = {
    "warm light": ("warm light", "warm light", "golden hour", "warm sunset light"),
    "blue hour": ("blue hour", "blue hour", "blue light", "in the blue hour"),
}
SCENE_PHRASES = {
    "alps": ("in the alps", "alps", "trekking in the alps", "standing in the alps"),
    "beach": ("on the beach", "beach", "walking on a beach", "at the beach"),
    "forest": ("in the forest", "forest", "in a forest", "walking in a forest"),
    "night city": ("night city", "in a city at night", "in the city at night", "city at night"),
    "studio": ("studio", "in a studio", "in the studio", "studio portrait"),
}
COLOUR_PHRASES = ("plain {} background", "{} background")
BACKGROUND_SHARES = {None: 0.2, "colour": 0.45, "scene": 0.35}
PHOTO_SHARE, LIGHT_SHARE = 0.5, 0.3
NOISE_SHARE = 0.25  # of captions that also hold words without a meaning here


@dataclass(frozen=True)
class Caption:
    """What `text` means, in words of the grammar; light and background None: the face's own."""

    text: str
    style: str = PHOTO
    light: str | None = None
    background: str | None = None  # one of SCENES or of COLOURS


def draw_caption(chance: random.Random, *, plain: float, noise_words: Sequence[str] = ()) -> Caption:
    """A caption of the grammar; with probability `plain` just a photo, whose light and background are the face's.

    noise_words: words without a meaning, at least 3; some captions hold 1 to 3 of them. `chance` decides everything.
    """
    style, light, background = PHOTO, None, None
    if chance.random() >= plain:
        style = PHOTO if chance.random() < PHOTO_SHARE else chance.choice(STYLES[1:])
        if chance.random() < LIGHT_SHARE and style not in GREY_STYLES:
            light = chance.choice(LIGHTS)
        background = _draw_background(chance)
    phrases = [chance.choice(STYLE_PHRASES[style])]
    if light:
        phrases.append(chance.choice(LIGHT_PHRASES[light]))
    if background in COLOURS:
        colour = chance.choice(SPELLINGS.get(background, (background,)))
        phrases.append(chance.choice(COLOUR_PHRASES).format(colour))
    elif background:
        phrases.append(chance.choice(SCENE_PHRASES[background]))
    if noise_words and chance.random() < NOISE_SHARE:
        phrases.append(" ".join(chance.sample(noise_words, chance.randint(1, 3))))
    chance.shuffle(phrases)
    return Caption(_write(chance, phrases), style, light, background)


def caption_of(style: str = PHOTO, light: str | None = None, background: str | None = None) -> Caption:
    """The caption that says it in the grammar's first words. KeyError: not a word of the grammar."""
    phrases = ["person", STYLE_PHRASES[style][0]]
    if light:
        phrases.append(LIGHT_PHRASES[light][0])
    if background:
        plain = background in COLOURS
        phrases.append(COLOUR_PHRASES[0].format(background) if plain else SCENE_PHRASES[background][0])
    return Caption(", ".join(phrases), style, light, background)


def list_captions() -> dict[str, Caption]:
    """A caption for each word of the grammar but `photo`: styles, lights, scenes, colours, by name."""
    return (
        {style: caption_of(style) for style in STYLES[1:]}
        | {light: caption_of(light=light) for light in LIGHTS}
        | {scene: caption_of(background=scene) for scene in SCENES}
        | {f"plain {colour}": caption_of(background=colour) for colour in COLOURS}
    )


def _draw_background(chance: random.Random) -> str | None:
    (kind,) = chance.choices(tuple(BACKGROUND_SHARES), tuple(BACKGROUND_SHARES.values()))
    return kind and chance.choice(tuple(COLOURS) if kind == "colour" else SCENES)


def _write(chance: random.Random, phrases: Sequence[str]) -> str:
    who = chance.choice(CLASSES)
    said = [phrase for phrase in phrases if phrase]
    return chance.choice((", ", ", ", " ")).join([who, *said])
