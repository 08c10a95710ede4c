"""Tunes for the tests of storage, and the writer that is killed: `python tests/tunes_kept.py FOLDER FIRST`."""

import hashlib
import sys
from pathlib import Path

import numpy as np

from faceid.domain import IdentityKey, Tune, TunePhoto
from faceid.store import TuneStore

KEY = IdentityKey("pulid-fast@1", "offline")
MARKER = b"the very bytes of a face "
PHOTOS = 3


def make_photo(number: int, *, size: int = 3000, marker: bytes = MARKER) -> TunePhoto:
    """A photo of `size` bytes, its pieces told apart by `marker`, with a vector of its own."""
    original = (marker * (size // len(marker) + 1))[:size] + str(number).encode()
    return TunePhoto(
        sha256=hashlib.sha256(original).hexdigest(),
        thumbnail=b"thumbnail " + marker + str(number).encode(),
        original=original,
        vectors={"offline": np.full(128, number, np.float32)},
        warnings=("Small face.",),
    )


def make_tokens(number: int) -> np.ndarray:
    """Identity tokens of a full size, (1, 32, 2048) float16."""
    return np.full((1, 32, 2048), number, np.float16)


def add_tunes(folder: Path, first: int) -> None:
    """Add tunes until killed, each with photos, a vector per photo and tokens; print the number of each that is in."""
    store = TuneStore.open(folder)
    for number in range(first, first + 10_000):
        tune = Tune(id=0, owner="owner", title=f"tune {number}", name="man")
        store.add_tune(tune, [make_photo(i, size=200_000) for i in range(PHOTOS)], {KEY: make_tokens(number)})
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    add_tunes(Path(sys.argv[1]), int(sys.argv[2]))
