"""Run by `zero_gpu.running_space`: app.py where there is no GPU, with what `spaces` does to one done on the CPU.

"cuda" weights are stand-ins in the main process, as on a Space; a worker gets the originals, which lie on the CPU. What
happens is noted in the file ZERO_GPU_TRACE, a JSON object a line.
"""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def note(event: str, **what: Any) -> None:
    """Append to the trace; whole lines, from whichever process."""
    line = json.dumps({"event": event, "pid": os.getpid(), **what}) + "\n"
    descriptor = os.open(os.environ["ZERO_GPU_TRACE"], os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def stand_in_for_the_gpu() -> None:
    """What needs a GPU in `spaces`: choosing it, moving tensors to it, and packing them to disk until then."""
    from spaces.zero import torch as zero_torch
    from spaces.zero.torch.patching import cuda_aliases

    def move(callback: Any = None) -> None:
        for alias, original in cuda_aliases.items():
            alias.data = original
        note("worker", moved=len(cuda_aliases))

    zero_torch.init = lambda nvidia_uuid: None
    zero_torch.size = lambda: 0
    zero_torch.pack = lambda: 0
    zero_torch.move = move


def watch_networks() -> None:
    """Note every pass of a transformer; no network whose weights lie on "cuda" may compute in the main process."""
    from diffusers import FluxTransformer2DModel
    from spaces.zero import wrappers
    from spaces.zero.torch.patching import cuda_aliases
    from torch.nn.modules.module import register_module_forward_pre_hook

    def look(module: Any, _: Any) -> None:
        if not wrappers.forked and any(weight in cuda_aliases for weight in module._parameters.values()):
            note("trap", module=type(module).__name__)
            raise RuntimeError(f"{type(module).__name__} computes on a GPU that is not there: its result is zeros.")
        if isinstance(module, FluxTransformer2DModel):
            note("pass", device=str(module.device))

    register_module_forward_pre_hook(look)


def watch_onnx() -> None:
    """Note every run of an onnxruntime session and where it was made: before a fork, it has no threads in a worker."""
    import onnxruntime

    session = onnxruntime.InferenceSession
    make, run = session.__init__, session.run

    def noted_make(self: Any, *args: Any, **options: Any) -> None:
        self.made_in = os.getpid()
        make(self, *args, **options)

    def noted_run(self: Any, *args: Any, **options: Any) -> Any:
        note("onnx", made_in=self.made_in)
        return run(self, *args, **options)

    session.__init__, session.run = noted_make, noted_run


def watch_stopping() -> None:
    """Note when the main process tells a worker to stop."""
    from spaces.zero import wrappers

    class NotedEvent(wrappers.Event):
        def set(self) -> None:
            super().set()
            note("stop")

    wrappers.Event = NotedEvent


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    import faceid.web.lean_gradio  # noqa: F401  in app.py's order

    # isort: split
    import spaces  # noqa: F401

    stand_in_for_the_gpu()
    watch_networks()
    watch_onnx()
    watch_stopping()
    runpy.run_path(str(ROOT / "app.py"), run_name="__main__")
