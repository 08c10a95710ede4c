"""A face pack without weights: a detector that finds magenta squares and a recogniser of seeded numbers.

The files are named and shaped as antelopev2's; insightface loads them as the real ones.
"""

from pathlib import Path

import numpy as np

from faceid.faces.onnx_graph import Graph
from faceid.faces.packs import ANTELOPEV2_DIM, DETECTOR_FILE, RECOGNISER_FILE

MAGENTA = (255, 0, 255)
FACE_SIDE = 128  # px of the square; its centre must lie on a multiple of 32
LANDMARKS = (  # of insightface's 112 px crop
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)


def write_tiny_pack(folder: Path) -> Path:
    """Both files in `folder`; takes some hundredths of a second."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tiny_detector(folder / DETECTOR_FILE)
    write_tiny_recogniser(folder / RECOGNISER_FILE)
    return folder


def write_tiny_detector(path: Path) -> None:
    """Score at stride 32: how full of magenta the square around an anchor is, 0 below nine tenths."""
    graph = Graph()
    colour = ((np.array(MAGENTA) - 127.5) / 128).reshape(1, 3, 1, 1)
    distance = graph.add("Abs", graph.add("Sub", "input", graph.constant(colour)))
    worst = graph.add("ReduceMax", distance, axes=[1], keepdims=1)
    hit = graph.add("Cast", graph.add("Less", worst, graph.constant(0.25)), to=1)  # (1, 1, H, W) of 0 and 1
    half = FACE_SIDE // 2
    padded = graph.add("Pad", hit, graph.integers(0, 0, half, half, 0, 0, half, half))
    full = graph.add("AveragePool", padded, kernel_shape=[FACE_SIDE] * 2, strides=[32, 32])  # one place too many
    full = graph.add("Slice", full, graph.integers(0, 0), graph.integers(-1, -1), graph.integers(2, 3))
    score = graph.add("Relu", graph.add("Mul", graph.add("Sub", full, graph.constant(0.9)), graph.constant(10.0)))
    write_anchors(graph, graph.add("Reshape", score, graph.integers(-1, 1)), stride=32)
    for stride in (8, 16):
        places = graph.add("MaxPool", hit, kernel_shape=[stride] * 2, strides=[stride] * 2)
        nothing = graph.add("Mul", places, graph.constant(0.0))
        write_anchors(graph, graph.add("Reshape", nothing, graph.integers(-1, 1)), stride=stride)
    outputs = {
        f"{kind}_{stride}": (f"anchors_{stride}", channels)
        for kind, channels in (("score", 1), ("bbox", 4), ("kps", 10))
        for stride in (8, 16, 32)
    }
    graph.save(path, inputs={"input": (1, 3, "H", "W")}, outputs=outputs)


def write_anchors(graph: Graph, score: str, *, stride: int) -> None:
    """score, bbox and kps of one stride: the first of two anchors scores, box and points are always the same."""
    zero = graph.add("Mul", score, graph.constant(0.0))
    both = graph.add("Reshape", graph.add("Concat", score, zero, axis=1), graph.integers(-1, 1), name=f"score_{stride}")
    blank = graph.add("Mul", both, graph.constant(0.0))
    points = (np.array(LANDMARKS) / 112 - 0.5) * FACE_SIDE / stride
    graph.add("Add", blank, graph.constant(np.full((1, 4), FACE_SIDE / 2 / stride)), name=f"bbox_{stride}")
    graph.add("Add", blank, graph.constant(points.reshape(1, 10)), name=f"kps_{stride}")


def write_tiny_recogniser(path: Path, dim: int = ANTELOPEV2_DIM) -> None:
    """A seeded projection of the crop at 7 x 7 px."""
    graph = Graph()
    small = graph.add("Flatten", graph.add("AveragePool", "crop", kernel_shape=[16, 16], strides=[16, 16]))  # (N, 147)
    weights = np.random.default_rng(0).standard_normal((147, dim)) / 12
    graph.add("MatMul", small, graph.constant(weights), name="embedding")
    graph.save(path, inputs={"crop": ("N", 3, 112, 112)}, outputs={"embedding": ("N", dim)})
