"""The stages of the training of `fast`, each with its own checkpoint. Owns their order and shares of the time.

1. The autoencoder: the components of patches, a linear code. 2. The tokens: written down, not trained.
3. The places: where an image token stands. 4. Drawing: transformer, adapter and texts. 5. The decoder, on what is
drawn. 6. The upscaler.
"""

import logging
import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from spandrel.architectures.Compact import Compact
from torch import Tensor
from torch.nn import functional

from faceid.flux.fast import config
from faceid.flux.fast.build import build_modules, name_modules, seeded
from faceid.flux.fast.tokenizers import SPACE
from faceid.flux.fast.training.augment import Augmenter
from faceid.flux.fast.training.captions import draw_caption
from faceid.flux.fast.training.decoding import train_decoder
from faceid.flux.fast.training.drawing import Artist, train_artist, train_places
from faceid.flux.fast.training.face_tokens import FaceTokens
from faceid.flux.fast.training.faces import FaceSet, to_tensor
from faceid.flux.fast.training.lessons import Lessons, words_heard, words_without_meaning
from faceid.flux.fast.training.loop import Schedule
from faceid.flux.fast.training.principal_components import start_from_components
from faceid.flux.fast.training.sample_sheets import save_sheet
from faceid.flux.fast.training.starting_points import (
    place_codes,
    start_cross_attention,
    start_hearing,
    start_tokens,
    start_transformer,
    start_words,
)
from faceid.flux.fast.training.strangers import Strangers
from faceid.flux.fast.training.upscaler import fit_last_layer, train_upscaler
from faceid.flux.fast.weight_files import save_upscaler, save_weights

logger = logging.getLogger(__name__)

PLACES, DRAWING, DECODING, UPSCALING = 0.03, 0.8, 0.07, 0.1  # shares of the time
BATCH = 16
SHEET_FACES = 8
CAPTIONS = 1000  # captions by which words are made loud


@dataclass(frozen=True)
class Plan:
    """faces: the training people; validation: people it does not see, for its sample sheets: none, no sheets.

    work: the folder of checkpoints and sheets; out: that of the weights. seconds: of training in all.
    """

    faces: FaceSet
    validation: FaceSet
    work: Path
    out: Path
    seconds: float
    seed: int = 0


def train_all(plan: Plan) -> None:
    """Train every part of `fast` on `plan.faces` and write the weights to `plan.out`; a killed run goes on."""
    pipeline, adapter, tower, encoder = build_modules(plan.seed)
    artist = Artist(pipeline, adapter, FaceTokens(tower, encoder))
    large = to_tensor(plan.faces.pictures)  # (N, 3, 256, 256) uint8
    layers = [_shrink(layer, 2 * config.SIDE) for layer in (large, to_tensor(plan.faces.masks[..., None]))]
    small, masks = (_shrink(layer, config.SIDE).float() / 255 for layer in layers)
    shown = _shrink(to_tensor(plan.validation.pictures[:SHEET_FACES]), config.SIDE).float() / 255
    lessons = Lessons(Augmenter(*layers, config.SIDE), Strangers(small, masks), config.SIDE, batch=BATCH)

    def schedule(share: float, rate: float, average: float) -> Schedule:
        return Schedule(share * plan.seconds, rate, average=average)

    # 1. The autoencoder's code
    start_from_components(pipeline.vae, small * 2 - 1)
    # 2. The tokens, and the way they take through the transformer
    start_routes(artist, small)
    # 3. The places
    release(artist)
    train_places(artist, lessons, schedule(PLACES, 2e-3, 0.95), plan.work / "places.pt")
    # 4. Drawing
    sample = partial(save_sheet, artist, shown, plan.work / "drawing.png") if len(shown) else None
    train_artist(artist, lessons, schedule(DRAWING, 2e-3, 0.99), plan.work / "drawing.pt", sample=sample)
    # 5. The decoder
    train_decoder(artist, lessons, schedule(DECODING, 1e-3, 0.99), plan.work / "decoder.pt")
    if sample:
        sample()
    save_weights(name_modules(pipeline, tower, encoder), plan.out)
    # 6. The upscaler
    with seeded(plan.seed):
        upscaler = Compact(**config.UPSCALER)
    train_upscaler(upscaler, large, artist.wear, schedule(UPSCALING, 1e-3, 0.995), plan.work / "upscaler.pt")
    fit_last_layer(upscaler, large)
    save_upscaler(upscaler, plan.out)
    logger.info("the weights are in %s", plan.out)


def release(artist: Artist) -> None:
    """Let all of `artist` learn but what is written down: tokens, and the pooled words."""
    artist.requires_grad_(True)
    artist.face_tokens.requires_grad_(False)
    artist.clip.requires_grad_(False)


def start_routes(artist: Artist, small: Tensor) -> None:
    """Write the way of copying, and the words, into an untrained `artist`; small: faces (N, 3, 64, 64), 0 to 1."""
    latents = artist.encode_pictures(small)
    told, place_dim = latents.shape[-1], place_codes(latents.shape[1]).shape[1]
    start_tokens(artist.face_tokens, small, latents)
    for cross_attention in artist.transformer.pulid_ca:
        start_cross_attention(cross_attention, told, place_dim)
    start_transformer(artist.transformer, told, place_dim)
    start_words(artist.clip, artist.pipeline.tokenizer.convert_tokens_to_ids([SPACE + word for word in words_heard()]))
    chance, noise_words = random.Random(0), words_without_meaning()
    captions = [draw_caption(chance, plain=0, noise_words=noise_words).text for _ in range(CAPTIONS)]
    start_hearing(artist.transformer, artist.pool(captions))


def _shrink(pictures: Tensor, side: int) -> Tensor:
    """(N, C, S, S) uint8 -> (N, C, side, side) uint8, by area."""
    return functional.interpolate(pictures.float(), size=side, mode="area").round().to(torch.uint8)
