"""Finds the faces in finished pictures, wherever that runs: opens the detector in the process that asks.

An onnxruntime session that was opened before a fork has no threads in the child, and a ZeroGPU worker is a fork.
"""

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from faceid.faces.analyzer import load_detector
from faceid.faces.detection import Detection, detect_faces
from faceid.faces.packs import FacePack

T = TypeVar("T")


class OncePerProcess(Generic[T]):
    """A value that `load` makes at its first use in a process; a fork makes its own. For several threads."""

    def __init__(self, load: Callable[[], T]):
        self._load = load
        self._found: tuple[int, T] | None = None
        self._lock, self._owner = threading.Lock(), os.getpid()

    def __call__(self) -> T:
        if self._owner != os.getpid():  # a lock that was held at the fork is never released in the child
            self._lock, self._owner = threading.Lock(), os.getpid()
        with self._lock:
            if self._found is None or self._found[0] != os.getpid():
                self._found = (os.getpid(), self._load())
            return self._found[1]


class FaceFinder:
    """All faces of a picture (H, W, 3) uint8 RGB, the largest first, by the detector of a face pack."""

    def __init__(self, pack: FacePack):
        self._detector = OncePerProcess(lambda: load_detector(pack))

    def __call__(self, rgb: np.ndarray) -> list[Detection]:
        return detect_faces(self._detector(), rgb)
