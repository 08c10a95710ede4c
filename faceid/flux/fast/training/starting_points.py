"""Starting points: token n begins as the latents of place n, cross-attentions pass them on, words add up.

Found by chance, such a route takes hours on a CPU; written down, it leaves training to do the rest. A place is told by
the cosines of its row and its column. Owns that arithmetic; trains nothing.
"""

import math
from collections.abc import Sequence

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from faceid.flux.fast.training.face_tokens import FaceTokens
from faceid.pulid.cross_attention import IdentityCrossAttention

OUTWARD = 0.8  # how much of the told latents two cross-attentions add is taken away again
SPREAD = 2.5  # of what captions add to the time
WORDS, HEARD = 4.0, 3.0  # how loud words are beside the end of the text, and how clearly one is or is not heard
LOUD = 16.0  # a place in a token, beside latents of about 1


def place_codes(places: int) -> Tensor:
    """(places, 2 rows): the orthonormal cosines (DCT-II) of a place's row and of its column, on a square grid."""
    rows = round(places**0.5)
    cosines = torch.cos(math.pi / rows * (torch.arange(rows)[:, None] + 0.5) * torch.arange(rows)[None])
    cosines = cosines / cosines.norm(dim=0)
    return torch.cat([cosines.repeat_interleave(rows, 0), cosines.repeat(rows, 1)], dim=1)


@torch.no_grad()
def start_tokens(face_tokens: FaceTokens, pictures: Tensor, latents: Tensor) -> None:
    """Write the route of `latents` (M, N, L), packed, of `pictures` (M, 3, S, S), 0 to 1, into tower and resampler.

    The first L numbers of a token tell the latents, the next ones its place. ValueError: there are fewer numbers.
    RuntimeError: the resampler's mappings are less than twice as wide inside.
    """
    tower, encoder = face_tokens.tower.trunk, face_tokens.encoder
    width, told = tower.embed_dim, latents.shape[-1]
    codes = place_codes(latents.shape[1])
    if width < told + codes.shape[1] or not width == encoder.proj_out.shape[0] == encoder.proj_out.shape[1]:
        raise ValueError("The tower, the resampler and the tokens must be of one width that holds latents and places.")
    # 1. The tower: a linear reading of each patch, its place beside it
    weight, bias = _fit(face_tokens.patches(pictures), latents)
    nn.init.zeros_(tower.patch_embed.proj.bias)
    nn.init.normal_(tower.patch_embed.proj.weight, std=0.01)
    tower.patch_embed.proj.weight[:told] = weight.view(told, 3, *tower.patch_embed.patch_size)
    tower.patch_embed.proj.bias[:told] = bias
    place = torch.zeros(len(codes), width)
    place[:, told : told + codes.shape[1]] = LOUD * codes
    tower.pos_embed.zero_()
    tower.pos_embed[0, 1:] = place
    for block in tower.blocks:
        for last in (block.attn.proj, block.mlp.fc2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
    # 2. The resampler: query n asks for place n and takes what it finds
    for name, mapping in encoder.named_children():
        if name.startswith("mapping_"):
            _pass_through(mapping)
    encoder.latents[0] = place
    encoder.latents[0, :, told + codes.shape[1]] = LOUD  # "I am a query": queries are not to answer each other
    nn.init.eye_(encoder.proj_out)
    for attention, feed_forward in encoder.layers:
        _ask_for_place(attention, told, codes.shape[1], encoder.latents.shape[-1])
        nn.init.zeros_(feed_forward[-1].weight)


@torch.no_grad()
def start_cross_attention(cross_attention: IdentityCrossAttention, told: int, place_dim: int) -> None:
    """Keys are places and values are tokens, as they are; what image tokens ask is left to training."""
    width, query = cross_attention.norm1.weight.shape[0], cross_attention.to_q.weight.clone()
    _ask_for_place(cross_attention, told, place_dim, width)
    cross_attention.to_q.weight.copy_(query)


@torch.no_grad()
def start_transformer(transformer: FluxTransformer2DModel, told: int, place_dim: int) -> None:
    """The stream of an image token begins as [told latents | place | noisy latents | …], and the velocity as the
    difference of noisy and told latents. Blocks add nothing yet, but for the first, which is to find the place.

    The cross-attentions fill the first two parts. ValueError: the transformer is too narrow for that.
    """
    first = told + place_dim + 1  # after the mark of queries
    if transformer.inner_dim < first + told:
        raise ValueError(f"transformer: {transformer.inner_dim} numbers per token, {first + told} are needed.")
    # 1. Gates open: drawn at random they start near 0, and little is learned behind them
    for block in transformer.transformer_blocks:
        for norm in (block.norm1, block.norm1_context):
            _open(norm.linear, gates=(2, 5), chunks=6)
    for block in transformer.single_transformer_blocks:
        _open(block.norm.linear, gates=(2,), chunks=3)
    _open(transformer.norm_out.linear, gates=(), chunks=2)
    # 2. Guidance mute
    nn.init.zeros_(transformer.time_text_embed.guidance_embedder.linear_2.weight)
    # 3. Later blocks silent in the image stream
    for block in transformer.transformer_blocks[1:]:
        nn.init.zeros_(block.attn.to_out[0].weight)
        nn.init.zeros_(block.ff.net[-1].weight)
    for block in transformer.single_transformer_blocks:
        nn.init.zeros_(block.proj_out.weight)
    # 4. In and out
    nn.init.normal_(transformer.x_embedder.weight, std=0.02)
    transformer.x_embedder.weight[first : first + told] = torch.eye(told)
    nn.init.normal_(transformer.proj_out.weight, std=0.002)
    transformer.proj_out.weight[:, :told] -= OUTWARD * torch.eye(told)
    transformer.proj_out.weight[:, first : first + told] += torch.eye(told)
    nn.init.zeros_(transformer.proj_out.bias)


@torch.no_grad()
def start_words(clip: CLIPTextModel, heard: Sequence[int]) -> None:
    """Make the pooled vector of `clip` the mean of those words of a text that are among the ids `heard`, made loud.

    Trained with all the rest it forgot colours before they mattered, so it stays as it is here. A word's first number
    says how far it is heard: words that are not are drowned by others, even by the start, however many they are.
    """
    words, (first, *following) = clip.embeddings.token_embedding.weight, clip.encoder.layers
    nn.init.normal_(words)
    words[:, 0] = -HEARD
    words[clip.config.bos_token_id, 0] = 0
    words[torch.tensor(heard), 0] = HEARD
    nn.init.zeros_(clip.embeddings.position_embedding.weight)
    attention = first.self_attn
    for projection in (attention.q_proj, attention.k_proj):
        nn.init.zeros_(projection.weight)
        nn.init.zeros_(projection.bias)
    attention.k_proj.weight[:: attention.head_dim, 0] = 1
    attention.q_proj.bias[:: attention.head_dim] = HEARD * attention.head_dim**0.5 / 2
    nn.init.eye_(attention.v_proj.weight)
    attention.out_proj.weight.copy_(WORDS * torch.eye(len(attention.out_proj.weight)))
    for layer in clip.encoder.layers:
        nn.init.zeros_(layer.mlp.fc2.weight)
    for layer in following:
        nn.init.zeros_(layer.self_attn.out_proj.weight)


@torch.no_grad()
def start_hearing(transformer: FluxTransformer2DModel, pooled: Tensor) -> None:
    """Make words loud: what captions, pooled (N, P), add to the time gets mean 0 and one spread.

    The blocks' modulations hear the sum. At random what captions have in common is far louder than what tells them
    apart, and one colour's name is learned as another's.
    """
    embedder = transformer.time_text_embed.text_embedder
    told = embedder(pooled)
    gain = SPREAD / (told - told.mean(0)).square().mean().sqrt()
    embedder.linear_2.bias.sub_(told.mean(0)).mul_(gain)
    embedder.linear_2.weight.mul_(gain)


def _open(linear: nn.Linear, *, gates: Sequence[int], chunks: int) -> None:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    for gate in gates:
        nn.init.ones_(linear.bias.view(chunks, -1)[gate])


def _ask_for_place(attention: nn.Module, told: int, place_dim: int, width: int) -> None:
    """Every head: keys and queries read the place, values the whole, which is put back where it was."""
    inner, dim_head = attention.to_q.weight.shape[0], attention.dim_head
    read = torch.zeros(inner, width)
    for start in range(0, inner, dim_head):
        read[start : start + place_dim + 1, told : told + place_dim + 1] = torch.eye(place_dim + 1)
    signs = torch.ones(width)
    signs[told + place_dim] = -1  # of the mark that queries bear
    attention.to_q.weight.copy_(read)
    attention.to_kv.weight.copy_(torch.cat([read * signs, torch.eye(inner, width)]))
    nn.init.eye_(attention.to_out.weight)


def _pass_through(mapping: nn.Sequential) -> None:
    """x -> x, but for the size that LayerNorm takes: what LeakyReLU cuts of x, it leaves of -x."""
    first, _, _, second, _, _, last = mapping
    width = first.in_features
    identity = torch.eye(width)
    both = torch.cat([identity, -identity])  # (2 width, width)
    for linear, weight in ((first, both), (second, both @ both.T), (last, both.T)):
        nn.init.zeros_(linear.bias)
        nn.init.zeros_(linear.weight)
        linear.weight[: weight.shape[0], : weight.shape[1]] = weight


def _fit(patches: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
    """The linear reading of latents (M, N, L) from patches (M, N, P), by least squares: (L, P) and (L,)."""
    flat = patches.flatten(0, 1)
    known = torch.cat([flat, torch.ones(len(flat), 1)], dim=1).double()
    ridge = 1e-4 * len(flat) * torch.eye(known.shape[1], dtype=torch.double)
    solution = torch.linalg.solve(known.T @ known + ridge, known.T @ latents.flatten(0, 1).double())
    return solution[:-1].T.float(), solution[-1].float()
