"""Where the face models come from: antelopev2 and AuraFace from the Hub, the offline pack built from two PyPI packages.

Owns the choice, the fallback and the check of the files before insightface sees them (a pack it cannot find it would
download from GitHub with no time-out). Knows nothing of photos.
"""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from faceid import hub
from faceid.base_models import FACE_FILES, FACE_PACK_WEIGHTS
from faceid.errors import SetupError
from faceid.faces import offline_recogniser
from faceid.faces.offline_pack import INSTALL_COMMAND, load_offline_pack
from faceid.settings import FACE_PACKS

logger = logging.getLogger(__name__)

ANTELOPEV2_REPO, AURAFACE_REPO = (FACE_PACK_WEIGHTS[name].repo for name in ("antelopev2", "auraface-v1"))
ANTELOPEV2_DIM = 512  # AuraFace's too
DETECTOR_FILE, RECOGNISER_FILE = FACE_FILES
NESTED_FOLDER = "antelopev2"  # mirrors of the official zip keep the folder it has inside
DETECTOR_OUTPUTS = 9  # score, box and points at three strides
RECOGNISER_SIDE = 112


@dataclass(frozen=True)
class FacePack:
    """A folder with one detector and one recogniser that insightface can load.

    `name` is antelopev2, auraface-v1 or offline: embeddings of different names are not comparable. `dim` is their
    length. `note` is for the page's status line, empty where there is nothing to say.
    """

    name: str
    folder: Path
    dim: int
    licence: str
    note: str = ""


def load_face_pack(
    choice: str, *, folder: Path, token: str | None = None, fetch: Callable[..., Path] = hub.fetch
) -> FacePack:
    """The face pack of FACEID_FACE_PACK: `antelopev2`, `offline`, or `auto`, the first of the two that can be had.

    `folder` is the data folder's `packs`: the models and the Hub's lock file are kept there. `auto` falls back only
    where the Hub cannot be reached, and says so in the log and in the pack's `note`. SetupError otherwise.
    """
    if choice not in FACE_PACKS:
        raise SetupError(f"FACEID_FACE_PACK={choice!r}: takes one of {', '.join(FACE_PACKS)}.")
    if choice == "offline":
        return _load_offline(folder)
    try:
        return _load_antelopev2(folder, token=token, fetch=fetch)
    except hub.HubUnreachable as error:
        if choice != "auto":
            raise
        return _fall_back(folder, error)


def load_judge_pack(
    face_pack: FacePack, *, folder: Path, token: str | None = None, fetch: Callable[..., Path] = hub.fetch
) -> FacePack:
    """The pack that judges likeness where photos are read with `face_pack`: never the one the adapter's vectors are of.

    AuraFace-v1, else the offline pack. Where photos are read with the offline pack it judges too, for no adapter uses
    its vectors. SetupError where neither can be had.
    """
    if face_pack.name == "offline":
        return face_pack
    try:
        return _load_auraface(folder, token=token, fetch=fetch)
    except hub.HubUnreachable as error:
        logger.warning("likeness is judged with the offline face pack: %s", error)
        return _load_offline(folder)


def _fall_back(folder: Path, error: hub.HubUnreachable) -> FacePack:
    note = (
        "The Hugging Face Hub could not be reached for better ones, which FLUX.1 needs for people: start the app again "
        "with network."
    )
    try:
        pack = _load_offline(folder, note=note)
    except SetupError as offline_error:
        raise SetupError(f"No face pack can be had. antelopev2: {error} offline: {offline_error}") from offline_error
    logger.warning("the offline face pack is used: %s", error)
    return pack


def _load_offline(folder: Path, note: str = "") -> FacePack:
    return FacePack(
        name="offline",
        folder=load_offline_pack(folder),
        dim=offline_recogniser.EMBEDDING_DIM,
        licence="CenterFace: MIT; dlib ResNet: public domain",
        note=note,
    )


def _load_antelopev2(folder: Path, *, token: str | None, fetch: Callable[..., Path]) -> FacePack:
    return FacePack(
        name="antelopev2",
        folder=_load_insightface(
            ANTELOPEV2_REPO, folder / "antelopev2", nested=NESTED_FOLDER, token=token, fetch=fetch
        ),
        dim=ANTELOPEV2_DIM,
        licence="insightface models: non-commercial research",
    )


def _load_auraface(folder: Path, *, token: str | None, fetch: Callable[..., Path]) -> FacePack:
    return FacePack(
        name="auraface-v1",
        folder=_load_insightface(AURAFACE_REPO, folder / "auraface-v1", token=token, fetch=fetch),
        dim=ANTELOPEV2_DIM,
        licence="AuraFace-v1: Apache-2.0",
    )


def _load_insightface(
    repo: str, target: Path, *, nested: str | None = None, token: str | None, fetch: Callable[..., Path]
) -> Path:
    """`target`, with the checked detector and recogniser of `repo` and nothing else in it."""
    target.mkdir(parents=True, exist_ok=True)
    for filename, check in ((DETECTOR_FILE, _check_detector), (RECOGNISER_FILE, _check_recogniser)):
        fetched = _fetch_flat(repo, filename, nested=nested, lock_dir=target.parent, token=token, fetch=fetch)
        check(fetched, _read_graph(fetched))
        _place(fetched.resolve(), target / filename)
    return target


def _fetch_flat(
    repo: str, filename: str, *, nested: str | None, lock_dir: Path, token: str | None, fetch: Callable[..., Path]
) -> Path:
    """The file from the repository's root, or from the folder `nested` that the official zip has inside."""
    try:
        return fetch(repo, filename, lock_dir=lock_dir, token=token)
    except hub.HubFileMissing:
        if nested is None:
            raise
        return fetch(repo, f"{nested}/{filename}", lock_dir=lock_dir, token=token)
    except hub.HubUnreachable as unreachable:
        if nested is None:
            raise
        try:  # without network the cache may hold the nested one
            return fetch(repo, f"{nested}/{filename}", lock_dir=lock_dir, token=token)
        except hub.HubUnreachable:
            raise unreachable from None


def _place(source: Path, target: Path) -> None:
    """Put `source` at `target`, a folder with nothing else in it: as a hard link, across disks as a copy."""
    if target.exists() and (target.samefile(source) or _same_stamp(target, source)):
        return
    draft = target.with_name(f".{target.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        draft.hardlink_to(source)
    except OSError:  # another disk, or one that has no hard links
        shutil.copy2(source, draft)
    draft.replace(target)


def _same_stamp(a: Path, b: Path) -> bool:
    first, second = a.stat(), b.stat()
    return (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns)


def _read_graph(path: Path) -> onnx.GraphProto:
    try:
        return onnx.load(path, load_external_data=False).graph
    except DecodeError as error:
        raise _unusable(path, "is not an ONNX model") from error


def _check_detector(path: Path, graph: onnx.GraphProto) -> None:
    if len(graph.output) != DETECTOR_OUTPUTS:
        raise _unusable(path, f"has {len(graph.output)} outputs, an SCRFD detector with landmarks {DETECTOR_OUTPUTS}")


def _check_recogniser(path: Path, graph: onnx.GraphProto) -> None:
    if len(graph.output) != 1 or not graph.input:
        raise _unusable(path, f"has {len(graph.output)} outputs, a face recogniser one")
    side = _shape(graph.input[0])[2:]
    dim = _shape(graph.output[0])[-1:]
    if side != [RECOGNISER_SIDE] * 2 or dim not in ([ANTELOPEV2_DIM], [0]):  # 0: the length is left open
        raise _unusable(path, f"takes {side} px and gives {dim} numbers, not 112 x 112 px and {ANTELOPEV2_DIM}")


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _unusable(path: Path, problem: str) -> SetupError:
    return SetupError(
        f"{path} {problem}: it is damaged or another file. Delete it and its entry in {hub.LOCK_FILE} to download it "
        f"again, or set FACEID_FACE_PACK=offline ({INSTALL_COMMAND})."
    )
