"""What a picture file says of itself: how it was made, for people, for machines and for "Reuse settings".

Owns the words inside the PNG and nothing of the app: never a face vector, an owner, a photo or a place. XMP follows
IPTC's guidance for generated pictures (cv.iptc.org/newscodes/digitalsourcetype).
"""

import io
import json
from collections.abc import Mapping
from typing import Any

from PIL import Image, PngImagePlugin, UnidentifiedImageError

SOFTWARE = "FaceID for Flux"
RECIPE = "faceid"  # the key of the PNG's text
MOST_CHARACTERS = 20_000
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
FIELDS: dict[str, tuple[type, ...]] = {  # what may stand in a recipe; whatever else is asked for stays out
    "text": (str,),
    "negative_prompt": (str,),
    "base_model": (str,),
    "seed": (int,),
    "steps": (int,),
    "cfg_scale": (int, float),
    "true_cfg_scale": (int, float),
    "true_cfg_start": (int, float),
    "identity_start": (int, float),
    "preset": (str,),
    "style": (str,),
    "faster": (bool,),
    "w": (int,),
    "h": (int,),
    "aspect_ratio": (str,),
    "denoising_strength": (int, float),
    "face_swap": (bool,),
    "face_correct": (bool,),
    "super_resolution": (bool,),
    "hires_fix": (bool,),
    "inpaint_faces": (bool,),
    "color_grading": (str,),
    "film_grain": (bool,),
    "notes": (list,),
}


def encode_picture(picture: Image.Image, recipe: Mapping[str, Any]) -> bytes:
    """The picture as PNG with its recipe; of `recipe` only FIELDS are written, without those that are None."""
    kept = {name: recipe[name] for name in FIELDS if _fits(name, recipe.get(name))}
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Software", SOFTWARE)
    texts.add_itxt(RECIPE, json.dumps(kept, ensure_ascii=False))
    texts.add_itxt("XML:com.adobe.xmp", _xmp(str(kept.get("text", ""))))
    file = io.BytesIO()
    clean = Image.new(picture.mode, picture.size)  # nothing that the picture carries goes along
    clean.paste(picture)
    clean.save(file, format="PNG", pnginfo=texts)
    return file.getvalue()


def read_recipe(content: bytes) -> dict[str, Any] | None:
    """The recipe in a PNG of this app, only FIELDS of the right kind; None where there is none. Decodes no pixel.

    Whoever sends the file may have written what they like into it: it is data for the same checks as any other.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            text = picture.info.get(RECIPE)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        return None
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return {name: found[name] for name in FIELDS if _fits(name, found.get(name))} if isinstance(found, dict) else None


def _fits(name: str, value: Any) -> bool:
    kinds = FIELDS[name]
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _xmp(prompt: str) -> str:
    """An XMP packet: where the picture comes from, what made it, the words it was made of."""
    from xml.sax.saxutils import quoteattr  # with urllib and http, a quarter of what the studio takes to be imported

    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f" xmp:CreatorTool={quoteattr(SOFTWARE)} Iptc4xmpExt:DigitalSourceType={quoteattr(DIGITAL_SOURCE_TYPE)}"
        f" Iptc4xmpExt:AIPromptInformation={quoteattr(prompt)}/>"
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )
