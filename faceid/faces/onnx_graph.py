"""Writes small ONNX graphs: names nodes and constants so that the code reads as the computation it describes.

Knows nothing of faces. Opset 13, IR 8: what every onnxruntime since 1.10 runs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
IR_VERSION = 8

Shape = Sequence[int | str]


class Graph:
    """Nodes and constants in the order they are written; every method gives the name of what it added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: object, dtype: type = np.float32) -> str:
        """A float constant, a scalar or an array."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        """A one-dimensional int64 constant: a shape, axes or indices."""
        return self.constant(values, np.int64)

    def add(self, operator: str, *inputs: str, name: str | None = None, **attributes: object) -> str:
        """A node with one output, called `name` where it is given."""
        output = name or f"value_{len(self.nodes)}"
        self.add_many(operator, inputs, (output,), **attributes)
        return output

    def add_many(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: object) -> None:
        """A node with several named outputs. insightface reads meaning into names such as Sub…: ours say nothing."""
        node = helper.make_node(operator, list(inputs), list(outputs), name=f"node_{outputs[0]}", **attributes)
        self.nodes.append(node)

    def save(self, path: Path, *, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> None:
        """Check the graph and write it. `inputs` and `outputs` map float tensors' names to shapes (a str is free)."""
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in outputs.items()],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        onnx.save(model, path)
