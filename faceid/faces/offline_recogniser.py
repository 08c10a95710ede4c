"""Reads dlib's face recognition ResNet (public domain, davisking/dlib-models) from its .dat file into ONNX.

Owns the network's layout and the mean descriptor; knows nothing of where the file comes from or the result is kept.
Sources: dlib's examples/dnn_face_recognition_ex.cpp for the layers, dlib/serialize.h and dnn/tensor.h for the file.
"""

from pathlib import Path

import numpy as np

from faceid.faces.offline_mean import MEAN_DESCRIPTOR
from faceid.faces.onnx_graph import Graph

EMBEDDING_DIM = 128
CROP_SIDE = 256  # insightface's aligned crop: a multiple of 128, and more pixels than the 150 dlib wants
CHIP_SIDE = 150  # dlib's input
CHIP_LEFT, CHIP_RIGHT, CHIP_TOP, CHIP_BOTTOM = 29, 230, 40, 241  # what dlib's face chip covers of that crop, px
CHANNEL_MEANS = (122.782, 117.001, 104.298)  # dlib's input_rgb_image_sized: (RGB - mean) / 256
STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))  # channels, blocks, halves


class DatFile:
    """The float tensors of a dlib network file, one after another."""

    def __init__(self, content: bytes):
        self._content = content
        self._position = 0

    def read(self, count: int, channels: int = 1) -> np.ndarray:
        """The next tensor of `count` x `channels` x 1 x 1 numbers, flat float32. ValueError if there is none."""
        header = b"".join(_encode_integer(value) for value in (2, count, channels, 1, 1))  # 2: the format's version
        start = self._content.index(header, self._position) + len(header)
        self._position = start + 4 * count * channels
        return np.frombuffer(self._content, "<f4", count * channels, start)


def _encode_integer(value: int) -> bytes:
    """A positive integer as dlib writes it: the number of its bytes, then those, lowest first."""
    length = (value.bit_length() + 7) // 8
    return bytes([length]) + value.to_bytes(length, "little")


def write_recogniser(dat: Path, target: Path) -> None:
    """Write the ONNX file `target`: `crop` (1, 3, 256, 256) RGB (x - 127.5) / 127.5 -> `embedding` (1, 128).

    The crop is insightface's `norm_crop`. The embedding is dlib's descriptor less the mean descriptor, which makes its
    cosine usable (dlib's own measure is the Euclidean distance). ValueError where the file is not that network.
    """
    weights = DatFile(dat.read_bytes())
    graph = Graph()
    features = graph.add("Relu", _convolve(graph, weights, _cut_chip(graph), (3, 32), kernel=7, stride=2))
    features = graph.add("MaxPool", features, kernel_shape=[3, 3], strides=[2, 2])  # (1, 32, 35, 35)
    side, channels = 35, 32
    for width, blocks, halves in STAGES:
        for block in range(blocks):
            halve = halves and block == 0
            features = _add_block(graph, weights, features, (channels, width), side=side, halve=halve)
            side, channels = (side // 2 if halve else side), width
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", features))  # (1, 256)
    projection = weights.read(256, EMBEDDING_DIM).reshape(256, EMBEDDING_DIM)
    descriptor = graph.add("MatMul", pooled, graph.constant(projection))
    graph.add("Sub", descriptor, graph.constant([MEAN_DESCRIPTOR]), name="embedding")
    shape = (1, 3, CROP_SIDE, CROP_SIDE)
    graph.save(target, inputs={"crop": shape}, outputs={"embedding": (1, EMBEDDING_DIM)})


def _cut_chip(graph: Graph) -> str:
    """dlib's chip from insightface's crop: (1, 3, 256, 256) -> (1, 3, 150, 150), in dlib's range."""
    start, end = graph.integers(CHIP_TOP, CHIP_LEFT), graph.integers(CHIP_BOTTOM, CHIP_RIGHT)
    chip = graph.add("Slice", "crop", start, end, graph.integers(2, 3))
    size = graph.integers(1, 3, CHIP_SIDE, CHIP_SIDE)
    chip = graph.add("Resize", chip, "", "", size, mode="linear", coordinate_transformation_mode="half_pixel")
    shift = (127.5 - np.array(CHANNEL_MEANS).reshape(1, 3, 1, 1)) / 256
    return graph.add("Add", graph.add("Mul", chip, graph.constant(127.5 / 256)), graph.constant(shift))


def _convolve(graph: Graph, weights: DatFile, x: str, channels: tuple[int, int], *, kernel: int, stride: int) -> str:
    """A convolution with the affine layer after it folded in. dlib pads only where it does not stride."""
    inside, out = channels
    parameters = weights.read(out * inside * kernel * kernel + out)
    filters, bias = parameters[:-out].reshape(out, inside, kernel, kernel), parameters[-out:]
    gain, shift = np.split(weights.read(2 * out), 2)
    return graph.add(
        "Conv",
        x,
        graph.constant(filters * gain[:, None, None, None]),
        graph.constant(bias * gain + shift),
        strides=[stride, stride],
        pads=[kernel // 2 if stride == 1 else 0] * 4,
    )


def _add_block(graph: Graph, weights: DatFile, x: str, channels: tuple[int, int], *, side: int, halve: bool) -> str:
    """A residual block, (1, C, side, side) in. Where it halves, the two ways differ in size: dlib fills with zeros."""
    inside, out = channels
    stride = 2 if halve else 1
    y = graph.add("Relu", _convolve(graph, weights, x, (inside, out), kernel=3, stride=stride))
    y = _convolve(graph, weights, y, (out, out), kernel=3, stride=1)
    skip = x
    if halve:
        skip = graph.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])  # side // 2
        gap = side // 2 - ((side - 3) // 2 + 1)
        if gap:
            y = graph.add("Pad", y, graph.integers(0, 0, 0, 0, 0, 0, gap, gap))
    if out != inside:
        skip = graph.add("Pad", skip, graph.integers(0, 0, 0, 0, 0, out - inside, 0, 0))
    return graph.add("Relu", graph.add("Add", y, skip))
