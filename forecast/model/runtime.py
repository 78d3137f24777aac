"""Recurrent layers answered by ONNX Runtime, of a network that is served from a processor.

torch packs the weights of an LSTM anew at every call, which takes most of the time of a single window; ONNX Runtime
packs them once. The rest of a network stays torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from forecast.model.average import Average
from forecast.model.layers import Recurrent

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto
    from onnxruntime import InferenceSession

# torch class -> ONNX operator, and the places of its gates among torch's; see
# https://onnx.ai/onnx/operators/onnx__LSTM.html, onnx__GRU.html and onnx__RNN.html.
_OPERATORS: dict[type[nn.RNNBase], tuple[str, list[int]]] = {
    nn.LSTM: ("LSTM", [0, 3, 1, 2]),  # input, forget, cell, output -> input, output, forget, cell
    nn.GRU: ("GRU", [1, 0, 2]),  # reset, update, new -> update, reset, new
    nn.RNN: ("RNN", [0]),
}
_OPSET, _IR = 17, 9  # versions of the file format; a runtime reads those before its own
MOST_WINDOWS = 8  # at once: of more a wide layer is quicker in torch
_ERRORS = 3  # what the runtime logs, so that it does not write between a server's own lines


def use_onnx_runtime(forecaster: object, *, threads: int) -> list[Recurrent]:
    """Have the recurrent layers of a forecaster answer by ONNX Runtime from now on, where that is quicker.

    Args:
        forecaster: fitted; the networks in an average count too.
        threads: of the processor, for one forward.

    Returns:
        the layers.
    """
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = _ERRORS
    layers = [layer for layer in _recurrent_layers(forecaster) if type(layer.cell) in _OPERATORS]
    for layer in layers:
        model = to_onnx(layer).SerializeToString()
        session = InferenceSession(model, options, providers=["CPUExecutionProvider"])
        layer.run = partial(_run, session, [session.get_outputs()[0].name])
    return layers


def to_onnx(layer: Recurrent) -> ModelProto:
    """A layer as an ONNX model, from windows (batch, lookback, features) to what it answers in evaluation mode."""
    from onnx import TensorProto, helper, numpy_helper

    cell = layer.cell
    operator, gates = _OPERATORS[type(cell)]
    attributes: dict[str, Any] = {"hidden_size": cell.hidden_size}
    if cell.bidirectional:
        attributes["direction"] = "bidirectional"
    if operator == "GRU":
        attributes["linear_before_reset"] = 1  # the reset gate acts where torch has it act
    weights = {name: _reorder(value.numpy(), gates) for name, value in cell.state_dict().items()}
    # Shapes that lay directions side by side; 0: as long as before, -1: whatever is left.
    constants: dict[str, NDArray[Any]] = {"steps": np.array([0, 0, -1]), "window": np.array([0, -1])}
    nodes = [helper.make_node("Transpose", ["windows"], ["x0"], perm=[1, 0, 2])]  # (B, L, F) -> (L, B, F)
    for depth in range(cell.num_layers):
        for name, kinds in {"W": ["weight_ih"], "R": ["weight_hh"], "B": ["bias_ih", "bias_hh"]}.items():
            constants[f"{name}{depth}"] = np.stack(
                [
                    np.concatenate([weights[f"{kind}_l{depth}{way}"] for kind in kinds])
                    for way in ("", "_reverse")[: 1 + cell.bidirectional]
                ]
            )
        inputs, outputs = [f"{name}{depth}" for name in "xWRB"], [f"y{depth}", f"state{depth}"]
        nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        if depth < cell.num_layers - 1:
            source, order, shape = f"y{depth}", [0, 2, 1, 3], "steps"  # (L, D, B, H) -> (L, B, D * H)
        elif layer.last:
            source, order, shape = f"state{depth}", [1, 0, 2], "window"  # (D, B, H) -> (B, D * H)
        else:
            source, order, shape = f"y{depth}", [2, 0, 1, 3], "steps"  # (L, D, B, H) -> (B, L, D * H)
        nodes.append(helper.make_node("Transpose", [source], [f"turned{depth}"], perm=order))
        nodes.append(helper.make_node("Reshape", [f"turned{depth}", shape], [f"x{depth + 1}"]))
    graph = helper.make_graph(
        nodes,
        operator,
        [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["batch", "lookback", cell.input_size])],
        [helper.make_tensor_value_info(f"x{cell.num_layers}", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)


def _recurrent_layers(forecaster: object) -> Iterator[Recurrent]:
    if isinstance(forecaster, Average):
        for member in forecaster.members.values():
            yield from _recurrent_layers(member)
    elif isinstance(forecaster, nn.Module):
        yield from (layer for layer in forecaster.modules() if isinstance(layer, Recurrent))


def _reorder(weights: NDArray[np.float32], order: list[int]) -> NDArray[np.float32]:
    """(gates * hidden, ...) with its gates in another order."""
    gates = np.split(weights, len(order))
    return np.concatenate([gates[place] for place in order])


def _run(session: InferenceSession, names: list[str], windows: Tensor) -> Tensor | None:
    """The answers, or None: of many windows or none, on another device, or where gradients are wanted.

    Numbers that are not finite are torch's too: the runtime makes finite ones of them.
    """
    is_ours = windows.is_cpu and windows.dtype == torch.float32 and not torch.is_grad_enabled()
    # of none the runtime would end the process
    if not is_ours or not 0 < len(windows) <= MOST_WINDOWS or not math.isfinite(windows.sum().item()):
        return None
    return torch.from_numpy(session.run(names, {"windows": windows.numpy()})[0])
