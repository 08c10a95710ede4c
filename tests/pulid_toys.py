"""Real classes at toy width for the tests of faceid.pulid: a small Flux with PuLID, its pipeline, one call of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from diffusers.utils.torch_utils import unwrap_module
from parity_recipe import META, load_parity, named_tensor

from faceid.pulid.adapter import PuLIDAdapter, identity_blocks

KV_DIM = 36
GRID = (4, 6)  # image tokens: rows, columns
STEPS = 4


def build_transformer() -> FluxTransformer2DModel:
    """The small Flux of tests/parity: 5 double and 9 single blocks, 48 wide."""
    transformer = FluxTransformer2DModel(**META["flux"]["diffusers_config"]).eval()
    transformer.load_state_dict(load_parity("flux_diffusers"), strict=True)
    return transformer.requires_grad_(False)


def build_short_transformer() -> FluxTransformer2DModel:
    """One double and one single block, for what costs time with every block (torch.compile)."""
    torch.manual_seed(0)
    config = META["flux"]["diffusers_config"] | {"num_layers": 1, "num_single_layers": 1}
    return FluxTransformer2DModel(**config).eval().requires_grad_(False)


def attach(transformer: FluxTransformer2DModel) -> PuLIDAdapter:
    """PuLID with the cross-attentions of tests/parity: six, or for a shorter network the first ones."""
    num = len(identity_blocks(unwrap_module(transformer)))
    named = ((name.removeprefix("pulid_ca."), weight) for name, weight in load_parity("flux_pulid_ca").items())
    state_dict = {name: weight for name, weight in named if int(name.split(".")[0]) < num}
    return PuLIDAdapter(transformer, state_dict, dim_head=8, heads=4, kv_dim=KV_DIM)


def build_pipeline(transformer: FluxTransformer2DModel) -> FluxPipeline:
    """A stock pipeline without text encoders: it is given embeddings and returns latents."""
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4,) * 4,
        layers_per_block=1,
        norm_num_groups=1,
        latent_channels=16,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.1159,
        scaling_factor=0.3611,
    )
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        shift=3.0,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )
    pipeline = FluxPipeline(
        scheduler=scheduler,
        vae=vae,
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=None,
        tokenizer_2=None,
        transformer=transformer,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def person(name: str, batch: int = 1) -> torch.Tensor:
    """Identity tokens (batch, 5, 36) of somebody."""
    return named_tensor("id", (batch, 5, KV_DIM), name)


def draw(pipeline: FluxPipeline, *, batch: int = 1, true_cfg: float = 1.0, steps: int = STEPS, on_step=None):
    """One picture as latents (batch, 24, 64), the same each time."""
    rows, columns = GRID
    arguments = {
        "prompt_embeds": named_tensor("txt", (batch, 7, 40), "draw"),
        "pooled_prompt_embeds": named_tensor("vec", (batch, 24), "draw"),
        "latents": named_tensor("img", (batch, rows * columns, 64), "draw"),
    }
    if true_cfg > 1:
        arguments["negative_prompt_embeds"] = named_tensor("neg_txt", (batch, 7, 40), "draw")
        arguments["negative_pooled_prompt_embeds"] = named_tensor("neg_vec", (batch, 24), "draw")
    return pipeline(
        **arguments,
        true_cfg_scale=true_cfg,
        height=rows * 16,
        width=columns * 16,
        num_inference_steps=steps,
        guidance_scale=4.0,
        output_type="latent",
        return_dict=False,
        callback_on_step_end=on_step,
    )[0]


def draw_person(adapter, pipeline, name, **options):
    """With true CFG; the identity and the guidance begin at step 1."""
    with adapter.identity(person(name), person("nobody"), start_step=1, start_cfg=1):
        return draw(pipeline, true_cfg=3, **options)


def close(a, b, tolerance=1e-4) -> bool:
    return torch.allclose(a, b, atol=tolerance, rtol=tolerance)


def grid_ids(rows: int, columns: int) -> torch.Tensor:
    ids = torch.zeros(rows, columns, 3)
    ids[..., 1] += torch.arange(rows)[:, None]
    ids[..., 2] += torch.arange(columns)[None]
    return ids.reshape(-1, 3)


@torch.no_grad()
def predict(transformer, *, batch: int = 1, tag: str = "draw", grid=GRID, timesteps=(0.9,), text_tokens: int = 7):
    """One call of the transformer, outside of any pipeline: (batch, rows * columns, 64)."""
    rows, columns = grid
    return transformer(
        hidden_states=named_tensor("img", (batch, rows * columns, 64), tag),
        encoder_hidden_states=named_tensor("txt", (batch, text_tokens, 40), tag),
        pooled_projections=named_tensor("vec", (batch, 24), tag),
        timestep=torch.tensor(timesteps).expand(batch),
        img_ids=grid_ids(rows, columns),
        txt_ids=torch.zeros(text_tokens, 3),
        guidance=torch.full((batch,), 4.0),
        return_dict=False,
    )[0]


def count_passes(transformer) -> list[int]:
    """Grows by one whenever the transformer really computes; clear it to start again."""
    passes: list[int] = []
    transformer.x_embedder.register_forward_hook(lambda *_: passes.append(1))
    return passes


@contextmanager
def one_thread() -> Iterator[None]:
    """Networks this small run several times faster on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class GraphCounter:
    """A backend of torch.compile that runs what it is given; counts the graphs and how often one was run."""

    def __init__(self):
        self.graphs = self.runs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1

        def run(*args):
            self.runs += 1
            return graph.forward(*args)

        return run
