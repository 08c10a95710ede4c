"""`python -m faceid.flux.fast.evaluate --faces DIR`: what the weights of `fast` are worth, on people they never saw.

DIR holds one picture per person. Given the folder training was given, the people kept out of it are measured.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from faceid.base_models import find_base_model
from faceid.domain import Face
from faceid.errors import SetupError
from faceid.faces.analyzer import FaceAnalyzer
from faceid.faces.packs import load_face_pack
from faceid.flux.fast.enlarging import Enlarger, load_enlarger
from faceid.flux.fast.training.faces import KEPT_OUT, crop_face, find_face, find_pictures, split_people, to_tensor
from faceid.flux.fast.training.measuring import Evaluator, Figures, measure_likeness, measure_obedience, measure_oblong
from faceid.flux.fast.training.upscaler import gain_over_bicubic
from faceid.flux.fast.weight_files import FOLDER
from faceid.flux.pipeline import load_fast


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, checked for nothing but its syntax."""
    parser = argparse.ArgumentParser(prog="python -m faceid.flux.fast.evaluate", description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder of face pictures, one person each")
    parser.add_argument("--weights", type=Path, default=FOLDER, help="default: the project's")
    parser.add_argument("--all", action="store_true", help="measure every picture, not only those kept out of training")
    parser.add_argument("--kept-out", type=int, default=KEPT_OUT, help="how many training kept out")
    parser.add_argument("--only", choices=("likeness", "obedience"), help="half of the figures, in less time")
    parser.add_argument("--random", action="store_true", help="measure random weights, for comparison")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first person's pictures; the next one's is the next"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args(arguments)


def read_people(files: Sequence[Path], judge: FaceAnalyzer) -> list[Face]:
    """The faces of `files`; pictures without one are left out. SetupError where fewer than two are left."""
    people = [face for file in files if (face := find_face(file, judge))]
    if len(people) < 2:
        raise SetupError(f"{len(people)} faces were found: to tell people apart, at least two are needed.")
    return people


def measure_upscaler(enlarger: Enlarger, people: Sequence[Face]) -> float:
    """dB over bicubic, from 64 to 256 px, on the crops of `people`."""
    pictures = to_tensor(np.stack([crop_face(face) for face in people]))
    return gain_over_bicubic(enlarger.network, pictures.float() / 255)


def describe(figures: Figures, people: int) -> str:
    """The figures as text, one a line."""
    lines = [
        f"people: {people}; chance: {1 / people:.1%}",
        *([f"rank-1: {figures.rank1:.1%}, rank-5: {figures.rank5:.1%}"] if figures.cosine else []),
        *(
            f"strength {strength:g}: mean cosine {cosine:.3f}, face found {figures.found[strength]:.1%}"
            for strength, cosine in figures.cosine.items()
        ),
        *(
            f"aspect ratio {ratio}: mean cosine {cosine:.3f}, face found {found:.1%}"
            for ratio, (found, cosine) in figures.oblong.items()
        ),
        *(f"obeyed, {name}: {share:.1%}" for name, share in figures.obedience.items()),
        f"seconds a picture: {figures.seconds:.2f}",
        f"upscaler over bicubic: {figures.upscaler_gain:+.2f} dB",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print. SetupError: too few pictures or faces, no offline face pack, or no weights."""
    given = parse_arguments(arguments)
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(given.threads)
    files = find_pictures(given.faces)
    if not given.all:
        _, files = split_people(files, given.kept_out)
    weights = None if given.random else given.weights
    with tempfile.TemporaryDirectory() as folder:
        judge = FaceAnalyzer(load_face_pack("offline", folder=Path(folder)))
        people = read_people(files, judge)
        evaluator = Evaluator(load_fast(find_base_model("fast"), judge.face_pack, weights), judge)
        figures = Figures()
        if given.only != "obedience":
            figures = measure_likeness(evaluator, people, seed=given.seed)
            figures.oblong = measure_oblong(evaluator, people, seed=given.seed)
        if given.only != "likeness":
            figures.obedience = measure_obedience(evaluator, people, seed=given.seed)
        figures.seconds = evaluator.seconds_a_picture
        if weights:
            figures.upscaler_gain = measure_upscaler(load_enlarger(weights), people)
    text = json.dumps(asdict(figures), indent=2) if given.json else describe(figures, len(people))
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
