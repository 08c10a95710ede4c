"""Vectors of which only the direction counts. Pure."""

import numpy as np


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (…, D) at length 1, float64; what has no length stays zero."""
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.finfo(np.float32).tiny)
