"""Pastes a person's face over the drawn one, with insightface's INSwapper.

The swapper reads identity vectors of one recogniser, buffalo_l's w600k_r50 (as insightface's own example and facefusion
feed it), and of no other: vectors of antelopev2 mean other people to it. Knows no tune; the vector is given. The
weights are non-commercial: `weights` loads them only where that was accepted.
"""

import contextlib
import io
from pathlib import Path

import numpy as np
import onnxruntime
from insightface.app.common import Face as InsightFace
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.inswapper import INSwapper
from PIL import Image

from faceid.domain import Face
from faceid.errors import SetupError
from faceid.faces.alignment import align_landmarks
from faceid.faces.analyzer import session_options
from faceid.faces.detection import Detection
from faceid.faces.finder import OncePerProcess
from faceid.faces.pasting import oval_mask, paste_aligned

SWAP_SPACE = "buffalo_l"  # the name its vectors are kept under with a tune
EMBEDDING_DIM = 512


class SwapReader:
    """The vector that the swapper knows a person by, from the face of a photo. Runs on the CPU, in any process."""

    name = SWAP_SPACE

    def __init__(self, recogniser: Path):
        self._recogniser = OncePerProcess(
            lambda: ArcFaceONNX(str(recogniser), session=_open_session(recogniser, "face recogniser"))
        )

    def embed_reference(self, face: Face) -> np.ndarray:
        """(512,) float32, not normalised: of the aligned crop, whose landmarks are known."""
        bgr = np.ascontiguousarray(face.aligned[..., ::-1])
        return np.asarray(self._recogniser().get(bgr, InsightFace(kps=align_landmarks(face.landmarks))), np.float32)


class FaceSwap:
    """Swaps the largest face of a picture. Its session is opened in the process that swaps."""

    def __init__(self, swapper: Path):
        self._swapper = OncePerProcess(lambda: _load_swapper(swapper))

    def __call__(self, picture: Image.Image, face: Detection, vector: np.ndarray) -> Image.Image:
        """The picture (RGB) with the person of `vector` (512,) in the place of `face`, blended by a soft oval."""
        pixels = np.asarray(picture.convert("RGB"))
        bgr = np.ascontiguousarray(pixels[..., ::-1])
        target, source = InsightFace(kps=face.landmarks), InsightFace(embedding=np.asarray(vector, np.float32))
        crop, transform = self._swapper().get(bgr, target, source, paste_back=False)  # (128, 128, 3) BGR, (2, 3)
        crop = np.ascontiguousarray(crop[..., ::-1])
        return Image.fromarray(paste_aligned(pixels, crop, transform, oval_mask(len(crop))))


def _load_swapper(path: Path) -> INSwapper:
    session = _open_session(path, "face swapper")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its shape
        return INSwapper(str(path), session=session)


def _open_session(path: Path, what: str) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(
            str(path), sess_options=session_options(), providers=["CPUExecutionProvider"]
        )
    except (onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf, OSError) as error:
        raise SetupError(f"{path} is no {what}: it is damaged. Delete it to download it again.") from error
