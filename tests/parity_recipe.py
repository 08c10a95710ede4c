"""The numbers of tests/parity that are not stored: every tensor follows from its name, its shape and a tag.

numpy's legacy RandomState is a frozen stream, so the numbers are the same under every numpy version.
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

PARITY = Path(__file__).parent / "parity"
META = json.loads((PARITY / "meta.json").read_text())


def named_tensor(name: str, shape: Sequence[int], tag: str) -> torch.Tensor:
    """Standard normal float32, drawn from the checksum of the tag and the name."""
    stream = np.random.RandomState(zlib.crc32(f"{tag}/{name}".encode()))
    return torch.from_numpy(stream.standard_normal(size=tuple(shape)).astype(np.float32))


def named_weights(shapes: Mapping[str, Sequence[int]], tag: str) -> dict[str, torch.Tensor]:
    """A state dict: biases 0.1 x, norm weights 1 + 0.1 x, tables of one row 0.5 x, matrices x / sqrt(fan in)."""
    with ThreadPoolExecutor(max_workers=2) as threads:  # numpy draws without the GIL
        tensors = threads.map(lambda item: _scaled(named_tensor(*item, tag), item[0]), shapes.items())
        return dict(zip(shapes, tensors))


def load_shapes(name: str) -> dict[str, list[int]]:
    return json.loads((PARITY / f"{name}.json").read_text())


def load_parity(name: str) -> dict[str, torch.Tensor]:
    return load_file(PARITY / f"{name}.safetensors")


def assert_parity(got: torch.Tensor, want: torch.Tensor, *, relative: float | None = None) -> None:
    """Equal to the tolerance of tests/parity/README.md; `relative` to max |wanted| where it is given."""
    want = want.float()
    largest = want.abs().max().item()
    tolerance = 3e-5 * max(1.0, largest) if relative is None else relative * largest
    assert got.shape == want.shape
    assert (got.float() - want).abs().max().item() <= tolerance


def _scaled(values: torch.Tensor, name: str) -> torch.Tensor:
    if values.ndim == 1:
        return 1 + 0.1 * values if name.endswith("weight") else 0.1 * values
    if values.shape[0] == 1:
        return 0.5 * values
    return values / math.sqrt(math.prod(values.shape[1:]))
