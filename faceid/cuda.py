"""Whether this machine draws on a GPU, asked without importing torch where the answer is plain."""

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path

DRIVERS = ("libcuda.so.1", "nvcuda.dll")  # NVIDIA's, as torch opens them
AMD_DRIVER = Path("/dev/kfd")  # ROCm answers for CUDA in torch


def has_cuda(*, zero_gpu: bool, has_driver: "Callable[[], bool] | None" = None) -> bool:
    """torch.cuda.is_available(); torch takes seconds to import, and is not asked where no driver is installed.

    zero_gpu: on ZeroGPU there is a device, in the workers.
    """
    if not zero_gpu and not (has_driver or find_driver)():
        return False
    import torch

    return torch.cuda.is_available()


def find_driver(names: Sequence[str] = DRIVERS) -> bool:
    """Whether a GPU driver is installed."""
    return AMD_DRIVER.exists() or any(map(_opens, names))


def _opens(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
