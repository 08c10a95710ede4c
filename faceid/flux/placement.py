"""Loads a transformer in the number format of a rung and puts a pipeline where the rung wants it.

`memory` chooses the rung. float8 is torchao's weight-only kind, one scale a row: products are computed in bfloat16, so
that it runs on every CUDA device, and alike on the CPU.
"""

from pathlib import Path

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel, TorchAoConfig
from diffusers.hooks import apply_group_offloading
from torch import nn

from faceid.base_models import Rung
from faceid.errors import SetupError

# What stays in bfloat16: what enters, leaves and steers the transformer, 0.1 % of it. PuLID is attached afterwards.
PRECISE_LAYERS = ("x_embedder", "context_embedder", "time_text_embed", "norm_out", "proj_out.weight")


def load_transformer(folder: Path, rung: Rung) -> FluxTransformer2DModel:
    """The transformer of the pipeline in `folder`, on the CPU: bfloat16, on fp8 rungs with float8 linear layers."""
    options = {"quantization_config": _float8()} if rung.fp8 else {}
    return FluxTransformer2DModel.from_pretrained(folder, subfolder="transformer", dtype=torch.bfloat16, **options)


def place_pipeline(pipeline: FluxPipeline, rung: Rung, device: str) -> None:
    """Put `pipeline` where `rung` wants it; its adapter must be attached. Shared components may lie there already."""
    if rung.offload is None:
        pipeline.to(device)
    elif rung.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        _offload_groups(pipeline, torch.device(device))


def _float8() -> TorchAoConfig:
    try:
        from torchao.quantization import Float8WeightOnlyConfig  # takes seconds to import: only where it is wanted
    except ImportError as error:
        raise SetupError(
            f"This GPU's memory wants float8 weights, and torchao cannot be imported ({error}): "
            "pip install -r requirements.txt."
        ) from error
    return TorchAoConfig(Float8WeightOnlyConfig(), modules_to_not_convert=list(PRECISE_LAYERS))


def _offload_groups(pipeline: FluxPipeline, device: torch.device) -> None:
    """The transformer block by block, everything else leaf by leaf: each comes to the GPU when it is called."""
    for name, component in pipeline.components.items():
        if not isinstance(component, nn.Module) or _is_offloaded(component):
            continue
        options = {"offload_type": "leaf_level"}
        if name == "transformer":
            options = {"offload_type": "block_level", "num_blocks_per_group": 1}
        apply_group_offloading(component, onload_device=device, **options)


def _is_offloaded(module: nn.Module) -> bool:
    """Whether a pipeline that shares `module` has brought its group offloading."""
    registries = (getattr(part, "_diffusers_hook", None) for part in module.modules())
    return any(registry and registry.get_hook("group_offloading") for registry in registries)
