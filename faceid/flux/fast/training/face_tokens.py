"""What turns pictures of faces into identity tokens, for batches that are trained on. Trains nothing itself."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms.functional import normalize

from faceid.pulid.encoder import IdentityEncoder
from faceid.pulid.face_picture import CLIP_MEAN, CLIP_STD
from faceid.pulid.vision_tower import VisionTower


class FaceTokens(nn.Module):
    """The tower and the resampler in one, as PuLIDFaceEncoder joins them."""

    def __init__(self, tower: VisionTower, encoder: IdentityEncoder):
        super().__init__()
        self.tower, self.encoder = tower, encoder

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures (B, 3, S, S), 0 to 1 -> identity tokens (B, N, D), with zeros in the recogniser's slot."""
        class_output, hidden_states = self.tower(_normalise(pictures))
        class_output = functional.normalize(class_output, dim=-1)
        nothing = class_output.new_zeros(len(class_output), self.encoder.id_dim - class_output.shape[-1])
        return self.encoder(torch.cat([nothing, class_output], dim=-1), hidden_states)

    def patches(self, pictures: Tensor) -> Tensor:
        """What each patch of the tower is made from: (B, 3, S, S), 0 to 1 -> (B, N, 3 p²)."""
        size = self.tower.trunk.patch_embed.patch_size
        return functional.unfold(_normalise(pictures), size, stride=size).transpose(1, 2)


def _normalise(pictures: Tensor) -> Tensor:
    return normalize(pictures, list(CLIP_MEAN), list(CLIP_STD))
