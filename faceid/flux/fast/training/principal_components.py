"""A starting point for the autoencoder: the principal components of 4×4 px patches, written into AutoencoderDC.

A linear code of 16 numbers per patch gives faces at 64 px back at 38 dB, which no autoencoder trained for minutes
reaches. The code stays; the decoder is trained at the end (`decoding`). Owns that arithmetic; draws nothing.
"""

import torch
from diffusers import AutoencoderDC
from torch import Tensor, nn

WHITENING = 0.6  # 0: components keep their spread, 1: all have the same
CONSTANT = 30.0  # a channel beside pixels of -1 to 1: RMSNorm divides by it, that is, by nearly the same everywhere
ABOVE_ZERO = 0.75  # added to the normalised pixels, so that ReLU lets them pass
PIXEL_CHANNELS = 12  # RGB of 2×2 px


@torch.no_grad()
def start_from_components(vae: AutoencoderDC, pictures: Tensor) -> None:
    """Make `vae` the linear code of `pictures` (N, 3, S, S), -1 to 1; latents get mean 0 and mean square 1.

    Takes an AutoencoderDC of two halvings, of which the first stage has no layer, with pixel shuffling, and without
    shortcuts around its innermost convolutions. ValueError otherwise.
    """
    _check(vae)
    # 1. Nothing but shuffling: residual branches and learned halvings are silent
    for block in vae.modules():
        if hasattr(block, "conv2"):
            nn.init.zeros_(block.norm.weight)
            nn.init.zeros_(block.norm.bias)
    encoder, decoder = vae.encoder, vae.decoder
    _silence(encoder.conv_in.conv, encoder.down_blocks[1][-1].conv, decoder.up_blocks[1][0].conv, decoder.conv_out.conv)
    encoder.conv_in.conv.weight[:3, :, 1, 1] = torch.eye(3)
    # 2. The components of what reaches the innermost convolution
    patches = _before_code(vae, pictures)  # (P, channels)
    mean, basis, spread = _components(patches, vae.config.latent_channels)
    scale = spread.pow(-0.5 * WHITENING)
    scale = scale / ((scale**2 * spread).mean().sqrt())
    # 3. The code and its inverse, at the middle tap of 3×3
    _silence(encoder.conv_out, decoder.conv_in)
    encode = scale[:, None] * basis.T  # (latent_channels, channels)
    encoder.conv_out.weight[:, :, 1, 1] = encode
    encoder.conv_out.bias.copy_(-encode @ mean)
    decoder.conv_in.weight[: len(basis), :, 1, 1] = basis / scale
    decoder.conv_in.bias[: len(mean)] = mean
    # 4. Through RMSNorm and ReLU to pixels, very nearly linearly
    channels = decoder.norm_out.weight.shape[0]
    decoder.conv_in.bias[4 * PIXEL_CHANNELS : 4 * PIXEL_CHANNELS + 4] = CONSTANT
    nn.init.ones_(decoder.norm_out.weight)
    nn.init.constant_(decoder.norm_out.bias, ABOVE_ZERO)
    size = CONSTANT / channels**0.5
    decoder.conv_out.conv.weight[:, :PIXEL_CHANNELS, 1, 1] = size * torch.eye(PIXEL_CHANNELS)
    decoder.conv_out.conv.bias.fill_(-size * ABOVE_ZERO)


def _before_code(vae: AutoencoderDC, pictures: Tensor) -> Tensor:
    kept: list[Tensor] = []
    handle = vae.encoder.conv_out.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    try:
        vae.encode(pictures)
    finally:
        handle.remove()
    return kept[0].movedim(1, -1).flatten(0, 2)


def _components(patches: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """(P, C) -> mean (C,), the basis (C, count) of the largest spread, and that spread (count,), the largest first."""
    spread, basis = torch.linalg.eigh(torch.cov(patches.T.double()))
    spread, basis = spread.flip(0)[:count].clamp_min(1e-8), basis.flip(1)[:, :count]
    return patches.mean(0), basis.float(), spread.float()


def _silence(*convolutions: nn.Conv2d) -> None:
    for convolution in convolutions:
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)


def _check(vae: AutoencoderDC) -> None:
    config = vae.config
    _, inner, last = config.decoder_block_out_channels
    shuffles = config.upsample_block_type == config.downsample_block_type.replace("un", "") == "pixel_shuffle"
    plain = not config.encoder_out_shortcut and not config.decoder_in_shortcut
    if not (shuffles and plain and last == 4 * inner and inner > PIXEL_CHANNELS):
        raise ValueError("vae: the config is not one that holds a linear code of 4×4 px patches.")
