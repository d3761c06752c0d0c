"""How a student leaves: one ONNX network with everything in it, written node by node like `network.export_onnx`."""

from typing import Any, cast

import numpy as np
import onnx
import torch
from torch import nn

from robot_rlaas.learn.frames import Frames
from robot_rlaas.learn.student import Scale, Student

OPSET, IR = 17, 9


class _Graph:
    """Nodes and weights, as they come. Their names begin with a slash, which no camera's does."""

    def __init__(self) -> None:
        self.nodes, self.weights = list[Any](), dict[str, torch.Tensor]()

    def weight(self, value: torch.Tensor) -> str:
        name = f"/w{len(self.weights)}"
        self.weights[name] = value.detach().cpu().contiguous()
        return name

    def add(self, kind: str, *inputs: str | torch.Tensor, output: str = "", **settings: Any) -> str:
        """A node; inputs are what other nodes are called, or weights. Returns what it is called."""
        output = output or f"/x{len(self.nodes)}"
        names = [self.weight(one) if isinstance(one, torch.Tensor) else one for one in inputs]
        self.nodes.append(onnx.helper.make_node(kind, names, [output], **settings))
        return output

    def linear(self, layer: nn.Linear, x: str) -> str:
        return self.add("Gemm", x, layer.weight, layer.bias, transB=1)

    def scale(self, scale: Scale, x: str) -> str:
        return self.add("Div", self.add("Sub", x, scale.mean), scale.std)

    def sequence(self, layers: nn.Module, x: str) -> str:
        for layer in cast(nn.Sequential, layers):
            if isinstance(layer, nn.Linear):
                x = self.linear(layer, x)
            elif isinstance(layer, nn.Conv2d):
                sizes = {"kernel_shape": layer.kernel_size, "strides": layer.stride, "pads": 2 * tuple(layer.padding)}
                x = self.add("Conv", x, layer.weight, cast(torch.Tensor, layer.bias), **sizes)
            else:
                x = self.add({nn.ReLU: "Relu", nn.Tanh: "Tanh", nn.Flatten: "Flatten"}[type(layer)], x)
        return x

    def turn(self, turn: Any, v: str, plate: str, angle: tuple[str, str]) -> str:
        u = self.add("Add", v, self.add("MatMul", plate, turn.shift))
        parts = [self.add("MatMul", u, matrix) for matrix in (turn.still, turn.cosine, turn.sine)]
        cosine, sine = (self.add("Mul", part, of) for part, of in zip(parts[1:], angle))
        return self.add("Add", self.add("Add", parts[0], cosine), sine)


@torch.no_grad()
def actions_of(student: Student, frames: Frames) -> np.ndarray:
    """What torch makes of these frames, float32 (n, action_size): what the network that leaves has to make of them."""
    return student(*frames.tensors).numpy()


def export_student(student: Student) -> bytes:
    """Inputs: "observation", float32 (n, size), and under each camera's name its pictures, uint8 (n, height, width, 3).

    Output: "action", float32 (n, action_size), clipped. The same bytes for the same weights.
    """
    graph = _Graph()
    looks = [graph.sequence(eye, _light(graph, name)) for name, eye in zip(student.cameras, student.eyes)]
    gathered = graph.add("Concat", *looks, graph.scale(student.seen, "observation"), axis=1)
    gazed = graph.sequence(student.gaze, gathered)
    plate = graph.add("Add", graph.add("Mul", gazed, student.plates.std), student.plates.mean)
    yaw = graph.add("Gather", plate, torch.tensor([2]), axis=1)
    angle = graph.add("Cos", yaw), graph.add("Sin", yaw)
    turned = graph.scale(student.turned, graph.turn(student.into, "observation", plate, angle))
    action = graph.turn(student.back, graph.sequence(student.hand, turned), plate, angle)
    graph.add("Clip", action, torch.tensor(-1.0), torch.tensor(1.0), output="action")
    return _serialised(graph, student)


def _light(graph: _Graph, camera: str) -> str:
    numbers = graph.add("Cast", graph.add("Transpose", camera, perm=(0, 3, 1, 2)), to=onnx.TensorProto.FLOAT)
    return graph.add("Sub", graph.add("Div", numbers, torch.tensor(255.0)), torch.tensor(0.5))


def _serialised(graph: _Graph, student: Student) -> bytes:
    end, real, whole = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
    size, action_size = student.seen.mean.numel(), cast(nn.Linear, student.hand[-1]).out_features
    inputs = [end(name, whole, ["n", *px, 3]) for name, px in student.cameras.items()]
    inputs.insert(0, end("observation", real, ["n", size]))
    outputs = [end("action", real, ["n", action_size])]
    tensors = [onnx.numpy_helper.from_array(w.numpy(), name) for name, w in graph.weights.items()]
    made = onnx.helper.make_graph(graph.nodes, "student", inputs, outputs, tensors)
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)
