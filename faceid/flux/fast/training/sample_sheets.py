"""Sample sheets: what a training run can draw by now, to be looked at."""

from pathlib import Path

import torch
from torch import Tensor
from torchvision.utils import save_image

from faceid.flux.fast.training.captions import caption_of, list_captions
from faceid.flux.fast.training.drawing import Artist

STRENGTHS = (1.0, 0.75, 0.5, 0.25, 0.0)


@torch.no_grad()
def save_sheet(artist: Artist, faces: Tensor, file: Path) -> None:
    """Write a PNG with a column per face (N, 3, S, S), 0 to 1. Rows: the face, strengths, words of the grammar."""
    tokens = artist.face_tokens(faces)
    rows = [faces, *(artist.draw(tokens, caption_of().text, strength=strength) for strength in STRENGTHS)]
    rows += [artist.draw(tokens, caption.text) for caption in list_captions().values()]
    file.parent.mkdir(parents=True, exist_ok=True)
    save_image(torch.cat(rows), file, nrow=len(faces), padding=0)
