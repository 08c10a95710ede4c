"""Who is drawn where no identity is asked for: somebody the noise decides on. Knows pictures and noise, no network.

A flow learns the mean of all it could be told to draw, and the mean of many people is a blur. So each noise has one
stranger: the mean of its tokens, a vector, points at one of the training people, laid out by their eigenfaces (Turk and
Pentland, 1991), so that noises alike lead to people alike. The flow is then nearly straight and soon sharp.
"""

import torch
from torch import Tensor
from torch.nn import functional

from faceid.flux.fast.training.augment import Views

DIMENSIONS = 4  # eigenfaces that tell strangers apart
MOST = 16  # of them: few enough to be known by heart
CELL = 4  # px: finer detail does not say who is alike


class Strangers:
    """pictures (K, 3, S, S), 0 to 1, and masks (K, 1, S, S): of them, evenly, come those that noise can lead to."""

    def __init__(self, pictures: Tensor, masks: Tensor):
        chosen = torch.linspace(0, len(pictures) - 1, min(MOST, len(pictures))).round().long()
        self._pictures, self._masks = pictures[chosen], masks[chosen]
        self._directions = _lay_out(self._pictures)  # (K, D)

    def find(self, noise: Tensor) -> Tensor:
        """noise (B, L, C), packed as FluxPipeline packs latents -> the index of one stranger each, (B,).

        The last channels are read: those in which pictures differ least, so that noise is not hidden by them.
        """
        pointer = noise.mean(1)[:, -self._directions.shape[1] :]
        return (pointer @ self._directions.T).argmax(1)

    def meet(self, noise: Tensor) -> Views:
        """The strangers that `noise` leads to."""
        found = self.find(noise)
        return Views(self._pictures[found], self._masks[found])


def _lay_out(pictures: Tensor) -> Tensor:
    """Directions of length 1 in which pictures (K, 3, S, S) lie from their mean, in eigenfaces of equal spread."""
    coarse = functional.avg_pool2d(pictures, CELL)
    line = torch.linspace(-1, 1, coarse.shape[-1])
    oval = torch.sigmoid(4 * (1 - (line[None] / 0.6) ** 2 - (line[:, None] / 0.8) ** 2))
    flat = (coarse * oval).flatten(1)
    left, _, _ = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    return functional.normalize(left[:, : max(1, min(DIMENSIONS, len(pictures) - 1))], dim=1)
