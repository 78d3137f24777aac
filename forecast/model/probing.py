"""Zeros sent through a layer or a network: only this tells what any of them answers with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from forecast.errors import UserError

Shape = tuple[int, ...]

_WINDOWS = 2


def answer_shape(layer: nn.Module, shape: Shape, *, name: str) -> Shape:
    """What a layer makes of one window or its features, (lookback, features) or (features,).

    Args:
        layer: built; left in the mode it was in.
        shape: of its input, without the batch.
        name: opens the message: a config key and its value.

    Raises:
        UserError: it cannot take that shape, or answers with something no layer can follow.
    """
    training = layer.training
    layer.eval()
    try:
        with torch.no_grad():
            out = layer(torch.zeros(_WINDOWS, *shape))
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise UserError(f"{name}: cannot take {shape}: {reason(error)}") from error
    finally:
        layer.train(training)
    if not isinstance(out, Tensor) or out.dim() not in (2, 3) or len(out) != _WINDOWS:
        what = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise UserError(
            f"{name}: gives {what} for {_WINDOWS} windows, must give (batch, features) "
            "or (batch, lookback, features)"
        )
    return tuple(out.shape[1:])


def check_network(network: object, *, input_size: int, lookback: int, output_size: int, name: str) -> None:
    """Refuse what cannot be trained: loss and forecast would broadcast a wrong shape without a word.

    Args:
        network: as built from a `model` node, of this package or from elsewhere.
        input_size: features a step.
        lookback: steps a window.
        output_size: horizon, times the number of quantiles where the network answers with those.
        name: opens the message: a config key and its value.

    Raises:
        UserError: no torch module, no parameters, or not (batch, lookback, features) -> (batch, horizon).
    """
    if not isinstance(network, nn.Module):
        raise UserError(f"{name}: gives a {type(network).__name__}, must give a torch module")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UserError(f"{name}: has no parameters to learn")
    shape = answer_shape(network, (lookback, input_size), name=name)
    if shape != (output_size,):
        raise UserError(
            f"{name}: makes (batch, {', '.join(map(str, shape))}) of (batch, {lookback}, {input_size}), "
            f"must make (batch, {output_size}): one answer a step of data.horizon (and quantile)"
        )


def reason(error: Exception) -> str:
    """The first line of torch's complaint."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    if "allocate memory" in text:
        return "there is not that much memory; lower model.hidden_size or data.seq_len"
    return text
