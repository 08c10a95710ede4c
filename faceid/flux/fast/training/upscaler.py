"""Trains the upscaler that shows `fast`'s 64 px pictures at 256: spandrel's Compact (SRVGGNetCompact of Real-ESRGAN).

It sees shrunk pictures as they are, and others the way the autoencoder and a hurried transformer leave them.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from spandrel.architectures.Compact import Compact
from torch import Tensor
from torch.nn import functional

from faceid.flux.fast.config import UPSCALE
from faceid.flux.fast.training.augment import change_colours
from faceid.flux.fast.training.loop import Losses, Schedule, Trainer

BATCH, PATCH = 12, 24  # px of a small patch
FITTED = 4  # pictures at a time
WORN = 0.3  # share of pictures that went through the autoencoder
MOST_NOISE = 0.08  # on their latents
RIDGE = 1e-4  # of the last layer, relative to the mean square of what it reads


def train_upscaler(
    upscaler: Compact, pictures: Tensor, wear: Callable[[Tensor, float], Tensor], schedule: Schedule, file: Path
) -> None:
    """Train `upscaler` in place on pictures (N, 3, 4S, 4S) uint8. wear: (small pictures, noise) -> worn ones."""
    upscaler.train().to(memory_format=torch.channels_last)

    def step(generator: torch.Generator, progress: float) -> Losses:
        chosen = pictures[torch.randint(len(pictures), (BATCH,), generator=generator)].float() / 255
        large = change_colours(chosen, generator) if torch.rand((), generator=generator) < 0.5 else chosen
        small = shrink(large)
        if torch.rand((), generator=generator) < WORN:
            small = wear(small, MOST_NOISE * float(torch.rand((), generator=generator)))
        small, large = _crop(small, large, generator)
        drawn = upscaler(small.contiguous(memory_format=torch.channels_last))
        return {"pixels": functional.l1_loss(drawn, large) + 2 * functional.mse_loss(drawn, large)}

    Trainer(upscaler, step, schedule, file).run()
    upscaler.eval().requires_grad_(False)


@torch.no_grad()
def fit_last_layer(upscaler: Compact, pictures: Tensor) -> None:
    """Give the last convolution the weights of least square error on pictures (N, 3, 4S, 4S) uint8, all at once.

    It is linear, so what gradient descent would reach in hours is one system of equations; a ridge holds it near the
    weights it has.
    """
    last, generator = upscaler.body[-1], torch.Generator().manual_seed(0)
    size = last.weight[0].numel() + 1
    squares = torch.zeros(size, size, dtype=torch.double)
    products = torch.zeros(size, len(last.weight), dtype=torch.double)
    for index, some in enumerate(pictures.split(FITTED)):
        large = some.float() / 255
        large = change_colours(large, generator) if index % 2 else large
        small = shrink(large)
        states = small
        for layer in upscaler.body[:-1]:
            states = layer(states)
        read = functional.unfold(states, 3, padding=1).transpose(1, 2).flatten(0, 1)
        read = torch.cat([read, torch.ones(len(read), 1)], dim=1).double()
        missing = functional.pixel_unshuffle(large - functional.interpolate(small, scale_factor=UPSCALE), UPSCALE)
        squares += read.T @ read
        products += read.T @ missing.movedim(1, -1).flatten(0, 2).double()
    held = RIDGE * squares.diagonal().mean()
    known = torch.cat([last.weight.flatten(1), last.bias[:, None]], dim=1).T.double()
    solution = torch.linalg.solve(squares + held * torch.eye(size, dtype=torch.double), products + held * known)
    last.weight.copy_(solution[:-1].T.view_as(last.weight))
    last.bias.copy_(solution[-1])


@torch.no_grad()
def gain_over_bicubic(upscaler: Compact, pictures: Tensor) -> float:
    """dB of mean PSNR by which `upscaler` beats bicubic on shrunk pictures (N, 3, 4S, 4S), 0 to 1."""
    small = shrink(pictures)
    bicubic = functional.interpolate(small, scale_factor=UPSCALE, mode="bicubic")
    return psnr(upscaler(small), pictures) - psnr(bicubic, pictures)


def shrink(pictures: Tensor) -> Tensor:
    """(N, 3, 4S, 4S) -> (N, 3, S, S), bicubic with antialiasing."""
    return functional.interpolate(pictures, scale_factor=1 / UPSCALE, mode="bicubic", antialias=True).clamp(0, 1)


def psnr(drawn: Tensor, wanted: Tensor) -> float:
    """Mean over pictures (N, 3, S, S), 0 to 1, of the peak signal-to-noise ratio, dB."""
    return float(-10 * (drawn.clamp(0, 1) - wanted).square().mean((1, 2, 3)).clamp_min(1e-10).log10().mean())


def _crop(small: Tensor, large: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    y, x = torch.randint(small.shape[-1] - PATCH + 1, (2,), generator=generator).tolist()
    window = large[..., UPSCALE * y : UPSCALE * (y + PATCH), UPSCALE * x : UPSCALE * (x + PATCH)]
    return small[..., y : y + PATCH, x : x + PATCH], window
