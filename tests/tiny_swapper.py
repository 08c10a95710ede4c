"""An INSwapper without weights: it paints the face in a colour that the identity's vector decides.

The file is named and shaped as inswapper_128.onnx; insightface loads it as the real one.
"""

from pathlib import Path

import numpy as np

from faceid.faces.onnx_graph import Graph

SIDE, DIM = 128, 512


def emap() -> np.ndarray:
    """(512, 512): what the file's last initializer holds, a rotation that is not the identity."""
    return np.linalg.qr(np.random.default_rng(5).standard_normal((DIM, DIM)))[0].astype(np.float32)


def write_tiny_swapper(path: Path) -> None:
    """target (1, 3, 128, 128) RGB 0 to 1 and source (1, 512) -> output: a quarter of the target, and the colour
    sigmoid(8 x) of the first three numbers x of the mapped vector."""
    graph = Graph()
    colour = graph.add("Slice", "source", graph.integers(0), graph.integers(3), graph.integers(1))
    colour = graph.add("Sigmoid", graph.add("Mul", colour, graph.constant(8.0)))
    colour = graph.add("Reshape", colour, graph.integers(1, 3, 1, 1))
    faint = graph.add("Mul", "target", graph.constant(0.25))
    graph.add("Add", faint, graph.add("Mul", colour, graph.constant(0.75)), name="output")
    graph.constant(emap())
    sides = (1, 3, SIDE, SIDE)
    graph.save(path, inputs={"target": sides, "source": (1, DIM)}, outputs={"output": sides})


def painted(vector: np.ndarray) -> np.ndarray:
    """The colour (3,) 0 to 255 that a face gets for `vector`, without what shines through."""
    mapped = vector / np.linalg.norm(vector) @ emap()
    return 255 / (1 + np.exp(-8 * mapped[:3] / np.linalg.norm(mapped)))
