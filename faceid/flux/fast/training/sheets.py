"""Sample sheets: what a training run can draw by now, to be looked at. Knows no file but its own."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from faceid.flux.fast.training.captions import COLOURS, LIGHTS, SCENES, STYLES, caption_of
from faceid.flux.fast.training.drawing import Artist

STRENGTHS = (1.0, 0.75, 0.5, 0.25, 0.0)


@torch.no_grad()
def save_sheet(artist: Artist, faces: Tensor, file: Path) -> None:
    """A column per face (N, 3, S, S), 0 to 1. Rows: the face; strengths; styles; lights; backgrounds."""
    tokens = artist.face_tokens(faces)
    rows = [faces, *(artist.draw(tokens, caption_of().text, strength=strength) for strength in STRENGTHS)]
    captions = [
        *(caption_of(style) for style in STYLES[1:]),
        *(caption_of(light=light) for light in LIGHTS),
        *(caption_of(background=background) for background in (*SCENES, *COLOURS)),
    ]
    rows += [artist.draw(tokens, caption.text) for caption in captions]
    sheet = torch.cat([torch.cat(list(row), dim=-1) for row in rows], dim=-2)  # (3, rows * S, N * S)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((sheet.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()).save(file)
