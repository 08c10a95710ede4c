"""What CLIP sees in the face picture: EVA02-CLIP-L/14-336 by timm. Owns which layers are read; knows no file.

Source: EVA-CLIP (Sun et al., arXiv:2303.15389); the layers are those PuLID was trained on (arXiv:2404.16022).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import timm
import torch
from accelerate import init_empty_weights
from timm.models.eva import checkpoint_filter_fn
from torch import Tensor, nn

EVA02_CLIP = "eva02_large_patch14_clip_336"
HIDDEN_BLOCKS = (3, 7, 11, 15, 19)  # of 24, counted from 0: the states that leave them


class VisionFeatures(NamedTuple):
    """class_output (B, D), not normalised; hidden_states: (B, 1 + patches, width) per block read, class token first."""

    class_output: Tensor
    hidden_states: list[Tensor]


class VisionTower(nn.Module):
    """timm's EVA02 with the hidden states that PuLID reads. `overrides` go to timm, e.g. a toy's embed_dim and depth.

    State-dict keys: timm's, under `trunk.`.
    """

    def __init__(self, name: str = EVA02_CLIP, hidden_blocks: Sequence[int] = HIDDEN_BLOCKS, **overrides: Any):
        super().__init__()
        self.hidden_blocks = tuple(hidden_blocks)
        self.trunk = timm.create_model(name, pretrained=False, **overrides)

    @property
    def image_size(self) -> int:
        """Side in px of the square pictures it takes."""
        return self.trunk.patch_embed.img_size[0]

    @property
    def num_tokens(self) -> int:
        """Rows of a hidden state: the class token and the patches."""
        return self.trunk.num_prefix_tokens + self.trunk.patch_embed.num_patches

    @property
    def width(self) -> int:
        """Columns of a hidden state."""
        return self.trunk.embed_dim

    @property
    def output_dim(self) -> int:
        """Length D of the class output."""
        return self.trunk.num_classes

    def forward(self, pixels: Tensor) -> VisionFeatures:
        """pixels (B, 3, image_size, image_size), normalised with CLIP's mean and standard deviation."""
        last, intermediates = self.trunk.forward_intermediates(
            pixels, indices=list(self.hidden_blocks), return_prefix_tokens=True, norm=False, output_fmt="NLC"
        )
        hidden_states = [torch.cat([prefix, patches], dim=1) for patches, prefix in intermediates]  # (B, 577, 1024)
        return VisionFeatures(self.trunk.forward_head(last), hidden_states)

    @classmethod
    def from_checkpoint(cls, state_dict: Mapping[str, Tensor], **config: Any) -> "VisionTower":
        """The tower with `state_dict` as its weights, float32; `config` as in the constructor.

        Takes timm's own keys, open_clip's (`visual.trunk.…`) and those of the original EVA-CLIP (`visual.…`, with rope
        buffers); text towers are left out. RuntimeError names keys and shapes that do not fit.
        """
        with init_empty_weights(include_buffers=False):  # no time spent on weights that are replaced at once
            tower = cls(**config)
        weights = checkpoint_filter_fn(dict(state_dict), tower.trunk)
        tower.trunk.load_state_dict({key: weight.float() for key, weight in weights.items()}, strict=True, assign=True)
        return tower.eval().requires_grad_(False)
