"""`python -m faceid.pulid.compare_fusion --faces DIR`: ways to fuse several photos of a person, by leave-one-out.

DIR has a folder of photos for each person; loose pictures in it are one person each, seen through altered copies. What
is measured is the recogniser's template, the part of an identity that has a right answer: how near the template of a
person's other photos comes to the photo left out, against everybody else's. What concatenated tokens do to a picture
can only be judged with PuLID's weights; their likeness here, every photo kept apart and the nearest one counting, is.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from faceid.domain import Face, Upload
from faceid.errors import InvalidPhotos
from faceid.faces.analyzer import FaceAnalyzer
from faceid.faces.packs import load_face_pack
from faceid.settings import FACE_PACKS
from faceid.unit_vectors import unit

FALSE_ACCEPT_RATE = 0.01
Weigh = Callable[[Sequence[Face]], np.ndarray]


def _sharpness(face: Face) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(face.aligned, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def _agreement(faces: Sequence[Face]) -> np.ndarray:
    """The cosine of each face to the mean of the others, not below 0."""
    vectors = _vectors(faces)
    return np.clip((vectors * unit(vectors.sum(0) - vectors)).sum(1), 0, None)


RULES: dict[str, Weigh] = {
    "mean of unit vectors": lambda faces: np.ones(len(faces)),
    "by the vector's length": lambda faces: np.array([np.linalg.norm(face.embedding) for face in faces]),
    "by the detector's score": lambda faces: np.array([face.score for face in faces]),
    "by the face's size": lambda faces: np.array([face.box[2] - face.box[0] for face in faces]),
    "by sharpness": lambda faces: np.sqrt([_sharpness(face) for face in faces]),
    "by agreement": _agreement,
}


def leave_one_out(people: Sequence[Sequence[Face]]) -> Iterator[tuple[str, float, float]]:
    """For each rule: its name, the mean cosine to the photo left out, and the share of those above FALSE_ACCEPT_RATE.

    people: at least two, with two photos or more each.
    """
    probes = np.concatenate([_vectors(faces) for faces in people])  # (N, D)
    person = np.repeat(np.arange(len(people)), [len(faces) for faces in people])  # (N,)
    rest = [[other for other in faces if other is not face] for faces in people for face in faces]
    for name, weigh in RULES.items():
        templates = unit(np.stack([weigh(faces) @ _vectors(faces) for faces in rest]))
        yield name, *_rates(templates @ probes.T, person)
    yield "each apart, the nearest", *_rates(np.stack([(_vectors(f) @ probes.T).max(0) for f in rest]), person)
    yield "one photo", *_rates(np.stack([_vectors(faces[:1])[0] for faces in rest]) @ probes.T, person)


def _rates(scores: np.ndarray, person: np.ndarray) -> tuple[float, float]:
    """scores (N, N): row i is what the template without photo i gives photo j."""
    strangers = scores[person[:, None] != person]
    genuine = np.diagonal(scores)
    line = np.quantile(strangers, 1 - FALSE_ACCEPT_RATE)
    return float(genuine.mean()), float((genuine >= line).mean())


def _vectors(faces: Sequence[Face]) -> np.ndarray:
    return unit([face.embedding for face in faces])  # (P, D)


def read_people(folder: Path, analyzer: FaceAnalyzer) -> list[list[Face]]:
    """The faces of each person in `folder`; photos without a face are left out, and people with fewer than two."""
    people: dict[str, list[Upload]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        upload = Upload(path.name, path.read_bytes())
        if path.parent == folder:
            people[path.name] = list(_altered_copies(upload))
        else:
            people.setdefault(str(path.parent), []).append(upload)
    read = [list(_faces(uploads, analyzer)) for uploads in people.values()]
    return [faces for faces in read if len(faces) > 1]


def _faces(uploads: Sequence[Upload], analyzer: FaceAnalyzer) -> Iterator[Face]:
    for upload in uploads:
        try:
            yield analyzer.detect_face(upload)
        except InvalidPhotos:
            continue


def _altered_copies(upload: Upload) -> Iterator[Upload]:
    """Turned, sheared, mirrored and dark, blurred, noisy, tiny: what a careless set of photos has."""
    picture = cv2.imdecode(np.frombuffer(upload.content, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        return
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 12, 1)
    shear = np.array([[1, 0.18, -0.09 * height], [0, 1, 0]])
    noise = np.random.default_rng(0).normal(0, 25, picture.shape)
    copies: Mapping[str, np.ndarray] = {
        "turned": cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REFLECT),
        "sheared": cv2.warpAffine(picture, shear, (width, height), borderMode=cv2.BORDER_REFLECT),
        "dark": (255 * (picture[:, ::-1] / 255) ** 2.2).astype(np.uint8),
        "blurred": cv2.GaussianBlur(picture, (0, 0), width / 85),
        "noisy": (picture + noise).clip(0, 255).astype(np.uint8),
        "tiny": cv2.resize(cv2.resize(picture, (40, 40), interpolation=cv2.INTER_AREA), (width, height)),
    }
    for name, copy in copies.items():
        yield Upload(f"{upload.name} {name}", cv2.imencode(".png", copy)[1].tobytes())


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, compare, print a table; 2 where fewer than two people have two photos."""
    parser = argparse.ArgumentParser(
        "python -m faceid.pulid.compare_fusion", description="Compare ways to fuse photos."
    )
    parser.add_argument("--faces", type=Path, required=True, help="a folder of people's folders, or of loose pictures")
    parser.add_argument("--pack", choices=FACE_PACKS, default="auto", help="the face pack (default: auto)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        people = read_people(options.faces, FaceAnalyzer(load_face_pack(options.pack, folder=Path(folder))))
    if len(people) < 2:
        parser.error(f"{options.faces}: two people with two photos each are needed, {len(people)} found.")
    photos = sum(len(faces) for faces in people)
    sys.stdout.write(f"{len(people)} people, {photos} photos, vectors of {people[0][0].face_pack}\n")
    sys.stdout.write(f"{'fused by':26}{'cosine':>8}   found at {FALSE_ACCEPT_RATE:.0%} false\n")
    for name, cosine, found in leave_one_out(people):
        sys.stdout.write(f"{name:26}{cosine:8.4f}   {found:.4f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
