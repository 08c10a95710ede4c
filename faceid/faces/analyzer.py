"""Photo -> Face: detects, chooses, aligns and embeds, with insightface on the CPU.

Owns the models in memory and the messages about faces; knows nothing of tunes, tokens or where photos are kept.
"""

import dataclasses
import io
import logging
import os
import threading
import warnings
from collections.abc import Sequence

import cv2
import numpy as np
import onnxruntime
from insightface.app import FaceAnalysis
from insightface.app.common import Face as InsightFace
from PIL import Image

from faceid.domain import Face, Upload
from faceid.errors import InvalidPhotos, PhotoProblem, SetupError
from faceid.faces.alignment import align_face
from faceid.faces.detection import Detection, Detector, detect_faces
from faceid.faces.packs import FacePack
from faceid.faces.photos import read_photo, refuse
from faceid.faces.same_person import find_odd_ones
from faceid.limits import LIMITS
from faceid.validation import check_photo_count

logger = logging.getLogger(__name__)

DETECTION_SCORE = 0.5  # insightface's default; CenterFace's pictures without a face stay below 0.3
THUMBNAIL_SIDE = 256
MAX_THREADS = 4
NO_FACE = (
    "No face was found. Send a photo that shows one person's face clearly: seen from the front, well lit, not covered "
    "and not too small."
)


class FaceAnalyzer:
    """Finds the face in a photo and embeds it. One per process; its methods may be called from several threads.

    `face_pack` is the name of the pack its embeddings belong to, `faces_read` how many photos went through the models.
    """

    def __init__(self, pack: FacePack):
        """Load the pack's two models; SetupError where they are not there."""
        self.face_pack = pack.name
        self.faces_read = 0
        self._models = _load_models(pack)
        self._lock = threading.Lock()  # two runs at once are slower than one after the other on few cores

    def detect_face(self, upload: Upload) -> Face:
        """The largest face of a photo, upright; several faces, or a photo that lies on its side, give a warning.

        InvalidPhotos names the photo where it cannot be read, shows no face, or a face under 48 px.
        """
        rgb = read_photo(upload)
        with self._lock:
            self.faces_read += 1
            detections = detect_faces(self._models.det_model, rgb)
            if not detections:
                raise refuse(upload, NO_FACE)
            detection = detections[0]
            _check_side(upload, detection)
            embedding = self._embed(rgb, detection.landmarks)
        aligned = align_face(rgb, detection.landmarks)
        return Face(
            photo=upload.name,
            face_pack=self.face_pack,
            box=detection.box,
            landmarks=detection.landmarks,
            score=detection.score,
            embedding=embedding,
            aligned=aligned,
            thumbnail=_encode_thumbnail(aligned),
            warnings=tuple(_describe(detections)),
        )

    def find_largest(self, rgb: np.ndarray) -> tuple[Detection, np.ndarray] | None:
        """The largest face of (H, W, 3) uint8 RGB pixels, of any size, and its embedding; None where there is none."""
        with self._lock:
            detections = detect_faces(self._models.det_model, rgb)
            return (detections[0], self._embed(rgb, detections[0].landmarks)) if detections else None

    def embed(self, rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """The embedding (D,) float32 of the face whose landmarks (5, 2) are known; nothing is detected."""
        with self._lock:
            return self._embed(rgb, landmarks)

    def read_faces(self, uploads: Sequence[Upload], *, allow_different_people: bool = False) -> list[Face]:
        """One face of every photo, in their order; the same bytes twice are read once.

        InvalidRequest for no photo or more than 20; InvalidPhotos with an entry for every photo that cannot be used,
        and, unless `allow_different_people`, for every photo of somebody else than the rest.
        """
        check_photo_count(len(uploads))
        read: dict[bytes, Face] = {}
        problems: dict[bytes, str] = {}
        for upload in uploads:
            if upload.content in read or upload.content in problems:
                continue
            try:
                read[upload.content] = self.detect_face(upload)
            except InvalidPhotos as error:
                problems[upload.content] = error.problems[0].message
        if problems:
            raise InvalidPhotos(PhotoProblem(u.name, problems[u.content]) for u in uploads if u.content in problems)
        faces = [dataclasses.replace(read[upload.content], photo=upload.name) for upload in uploads]
        if not allow_different_people:
            _check_same_person(faces)
        logger.info("photos read: %d; sent more than once: %d", len(read), len(uploads) - len(read))
        return faces

    def _embed(self, rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        return np.asarray(self._models.models["recognition"].get(bgr, InsightFace(kps=landmarks)), np.float32)


def load_detector(pack: FacePack) -> Detector:
    """The pack's detector alone, in a session of its own. SetupError where it is not there."""
    return _open_models(pack, ["detection"]).det_model


def _load_models(pack: FacePack) -> FaceAnalysis:
    models = _open_models(pack, ["detection", "recognition"])
    if "recognition" not in models.models:
        raise SetupError(f"{pack.folder} holds no face recogniser: delete the folder to load {pack.name} again.")
    return models


def _open_models(pack: FacePack, modules: list[str]) -> FaceAnalysis:
    """insightface on the CPU. The folder is checked first: a name it does not know it would look for on GitHub."""
    if not pack.folder.is_dir():
        raise SetupError(f"{pack.folder} is not a folder: the face pack {pack.name} is missing. Load it again.")
    cv2.setNumThreads(1)
    warnings.filterwarnings("ignore", "`estimate` is deprecated", FutureWarning, r"insightface\.utils\.face_align")
    try:
        models = FaceAnalysis(
            name=str(pack.folder.resolve()),
            allowed_modules=modules,
            providers=["CPUExecutionProvider"],
            sess_options=session_options(),
            static_shape_sessions=False,  # one session for every size, not one each
        )
    except AssertionError as error:  # insightface's whole answer to a folder without a detector
        raise SetupError(
            f"{pack.folder} holds no face detector: delete the folder to load {pack.name} again."
        ) from error
    models.prepare(ctx_id=0, det_thresh=DETECTION_SCORE)
    return models


def session_options() -> onnxruntime.SessionOptions:
    """Few threads, and none that spins while it waits: the cores are shared with torch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(MAX_THREADS, os.cpu_count() or 1)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _check_side(upload: Upload, detection: Detection) -> None:
    least = LIMITS["face_side"].low
    if detection.side < least:
        raise refuse(
            upload,
            f"The face is {detection.side:.0f} px wide; at least {least:g} px are needed. Send a photo taken from "
            "closer, or the picture in its full size.",
        )


def _check_same_person(faces: Sequence[Face]) -> None:
    odd = find_odd_ones([face.embedding for face in faces], faces[0].face_pack)
    if not odd:
        return
    person = next(face.photo for index, face in enumerate(faces) if index not in odd)
    raise InvalidPhotos(
        PhotoProblem(
            faces[index].photo,
            f"This seems to be another person than in {person}. Leave it out, or set allow_different_people=true.",
        )
        for index in odd
    )


def _describe(detections: Sequence[Detection]) -> list[str]:
    """What the photo's owner should know about a photo that was used."""
    remarks = []
    if len(detections) > 1:
        remarks.append(f"{len(detections)} faces were found; the largest was used.")
    if detections[0].quarter_turns:
        remarks.append("The photo does not stand upright; it was turned to find the face.")
    return remarks


def _encode_thumbnail(aligned: np.ndarray) -> bytes:
    """(512, 512, 3) uint8 RGB -> a 256 px WebP."""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    file = io.BytesIO()
    Image.fromarray(aligned).resize(side, Image.Resampling.LANCZOS).save(file, "WEBP", quality=80)
    return file.getvalue()
