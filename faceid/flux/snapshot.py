"""The folder of a base model's pipeline as it is downloaded from the Hub, and what is missing in it.

Knows the diffusers layout; imports neither torch nor diffusers, and loads nothing.
"""

import json
from collections.abc import Collection
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HTTPError

from faceid.errors import SetupError
from faceid.hub import fetch, gated

INDEX = "model_index.json"
# The diffusers layout; without the single-file checkpoints that lie beside it in black-forest-labs' repositories.
PIPELINE_FILES = (INDEX, "*/*.json", "*/*.safetensors", "*/*.txt", "*/*.model")
SHARED_COMPONENTS = ("text_encoder", "text_encoder_2", "vae")  # the same in all base models of a family
COMPONENTS_WITH_WEIGHTS = ("transformer", *SHARED_COMPONENTS)


def download_pipeline(
    repo: str,
    *,
    lock_dir: Path,
    token: str | None = None,
    without: Collection[str] = (),
    cache_dir: Path | None = None,
    endpoint: str | None = None,
) -> Path:
    """The folder of `repo`'s pipeline, at the commit that `lock_dir`'s lock file holds (the first time: main's).

    `without` names components that are not needed: 10 GB less for a second base model of a family. `cache_dir` and
    `endpoint` are huggingface_hub's own. SetupError: a licence to accept (it names the page), a Hub out of reach, a
    full disk, files that are missing.
    """
    commit = fetch(repo, INDEX, lock_dir=lock_dir, token=token, cache_dir=cache_dir, endpoint=endpoint).parent.name
    try:
        folder = snapshot_download(
            repo,
            revision=commit,
            token=token,
            cache_dir=cache_dir,
            endpoint=endpoint,
            allow_patterns=list(PIPELINE_FILES),
            ignore_patterns=[f"{component}/*" for component in without],
        )
    except GatedRepoError as error:
        raise gated(repo) from error
    except (HTTPError, OSError) as error:
        raise SetupError(
            f"{repo} could not be downloaded as a whole ({type(error).__name__}): check the network and the free disk "
            f"space (34 GB), and that its licence is accepted at https://huggingface.co/{repo}."
        ) from error
    if missing := missing_files(Path(folder), without):
        raise SetupError(
            f"{repo} is in the cache without {', '.join(missing[:3])}"
            f"{f' and {len(missing) - 3} more' if len(missing) > 3 else ''}: start again with a network "
            "(python -m faceid.doctor --download) to fetch the rest."
        )
    return Path(folder)


def missing_files(folder: Path, without: Collection[str] = ()) -> list[str]:
    """What of the pipeline in `folder` is not there, as paths in it; components named in `without` may be missing.

    A file counts as there when it has its name: huggingface_hub gives it that only when it is complete.
    """
    if not (folder / INDEX).is_file():
        return [INDEX]
    index = json.loads((folder / INDEX).read_text())
    components = [name for name, value in index.items() if isinstance(value, list) and value[0] and name not in without]
    return [path for name in components for path in _missing_of_component(folder, name)]


def _missing_of_component(folder: Path, name: str) -> list[str]:
    if not any((folder / name).glob("*.json")):
        return [f"{name}/*.json"]
    if name not in COMPONENTS_WITH_WEIGHTS:
        return []
    shards = {
        shard
        for index in (folder / name).glob("*.safetensors.index.json")
        for shard in json.loads(index.read_text())["weight_map"].values()
    }
    if shards:
        return [f"{name}/{shard}" for shard in sorted(shards) if not (folder / name / shard).is_file()]
    return [] if any((folder / name).glob("*.safetensors")) else [f"{name}/*.safetensors"]
