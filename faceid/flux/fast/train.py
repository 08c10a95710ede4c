"""`python -m faceid.flux.fast.train --faces DIR`: the weights of `fast`, from a folder of face pictures, on a CPU.

Every file is one person. Of the sorted files some, spread evenly, are kept out for `evaluate`, and never read. A run
that was killed goes on from its checkpoints when it is started again with the same arguments.

On cores that do other work too, set `OMP_WAIT_POLICY=passive` before: threads that wait for each other then sleep, and
a step takes a tenth of the time.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from faceid.faces.analyzer import FaceAnalyzer
from faceid.faces.packs import load_face_pack
from faceid.flux.fast.training.faces import KEPT_OUT, find_pictures, load_faces, split_people, split_validation
from faceid.flux.fast.training.stages import Plan, train_all


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, checked for nothing but its syntax."""
    parser = argparse.ArgumentParser(prog="python -m faceid.flux.fast.train", description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder of face pictures, one person each")
    parser.add_argument("--work", type=Path, default=Path("fast-training"), help="checkpoints and sample sheets")
    parser.add_argument("--out", type=Path, help="where the weights go (default: WORK/weights)")
    parser.add_argument("--minutes", type=float, default=90.0, help="of training in all, on this machine")
    parser.add_argument("--kept-out", type=int, default=KEPT_OUT, help="people that training never sees")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0, help="of the weights that training begins with")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, with progress in the log. SetupError: no pictures, no faces in them, or no offline face pack."""
    given = parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(given.threads)
    analyzer = FaceAnalyzer(load_face_pack("offline", folder=given.work / "packs"))
    files, _ = split_people(find_pictures(given.faces), given.kept_out)
    training, validation = split_validation(load_faces(files, analyzer, given.work / "faces.npz"))
    out = given.out or given.work / "weights"
    train_all(Plan(training, validation, given.work, out, given.minutes * 60, given.seed))


if __name__ == "__main__":
    main()
