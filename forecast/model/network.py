"""`layer_config` to a network: shapes flow through, and a layer that cannot follow another is refused by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le, Lt, MinLen
from torch import Tensor, nn

from forecast.errors import UserError
from forecast.model.forecaster import torch_threads
from forecast.model.layers import LastStep, Recurrent, TemporalBlock

Shape = tuple[int, ...]

_PROBE_WINDOWS = 2
_RECURRENT: dict[str, Callable[..., nn.RNNBase]] = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
_SEQUENCE = [*_RECURRENT, "TCN"]
_ELEMENTWISE: dict[str, type[nn.Module]] = {
    name: getattr(nn, name)
    for name in ("ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Tanh", "Sigmoid", "Softplus", "Identity")
}
_NAMES = [*_SEQUENCE, *_ELEMENTWISE, "Linear", "Flatten", "Dropout", "LayerNorm", "LastStep"]
_FORECASTER = ("fit", "forecast", "state", "restore")
# How a layer from elsewhere may call the width it is fed.
_WIDTH_ARGUMENTS = ("input_size", "in_features", "in_channels", "num_features", "normalized_shape")


class LayeredNetwork(nn.Sequential):
    """A stack of layers from (batch, lookback, features) to (batch, horizon).

    An item of `layer_config` is a name (`LSTM`), a name with its own arguments
    (`{LSTM: {hidden_size: 64, bidirectional: true}}`), or a `_target_` node of any torch module. Input widths
    come from the layer before, the last Linear's output width from the horizon. After the last layer that reads
    a sequence, only its final step goes on.

    Args:
        input_size: features a step.
        lookback: steps a window.
        output_size: horizon, times the number of quantiles where the network answers with those.
        layer_config: the layers, first to last.
        hidden_size: width of every layer that does not say its own.
        num_layers: of every recurrent or TCN layer that does not say its own.
        dropout: of every Dropout, recurrent or TCN layer that does not say its own.

    Raises:
        UserError: an unknown layer, an argument a layer does not take, or an order that cannot be.
    """

    def __init__(
        self,
        *,
        input_size: int,
        lookback: int,
        output_size: int,
        layer_config: Annotated[list[str | dict[str, Any]], MinLen(1)],
        hidden_size: Annotated[int, Ge(1)] = 32,
        num_layers: Annotated[int, Ge(1)] = 1,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        self._defaults = {"hidden_size": hidden_size, "num_layers": num_layers, "dropout": dropout}
        items = [_Item.parse(index, item) for index, item in enumerate(layer_config)]
        sequence_readers = [item.index for item in items if item.reads_sequence]
        last_reader = max(sequence_readers, default=-1)
        shape: Shape = (lookback, input_size)
        for item in items:
            if len(shape) == 2 and item.index > last_reader >= 0 and not item.reads_sequence:
                # A layer from elsewhere may answer with a sequence: its last step is what goes on.
                self.append(LastStep())
                shape = shape[1:]
            layer = self._layer(item, shape, items, last=item.index == last_reader, output_size=output_size)
            shape = output_shape(layer, shape, name=f"model.{item}")
            self.append(layer)
        if shape != (output_size,):
            raise UserError(
                f"model.layer_config: the last layer {items[-1]} gives {shape}, needs ({output_size},): "
                "one answer a step of data.horizon (and quantile); end with Linear"
            )
        # A network that has learnt nothing yet forecasts "tomorrow = today" rather than something at random.
        if isinstance(self[-1], nn.Linear):
            nn.init.zeros_(self[-1].weight)
            nn.init.zeros_(self[-1].bias)

    def _layer(
        self, item: _Item, shape: Shape, items: list[_Item], *, last: bool, output_size: int
    ) -> nn.Module:
        """Build one layer for the shape it is fed."""
        width = shape[-1]
        final = item is items[-1]
        if item.name is None:
            return item.elsewhere(shape)
        if item.name in _SEQUENCE:
            if len(shape) != 2:
                raise item.cannot_follow(items, shape, "(lookback, features)")
            base = {"input_size": width, "last": last, **self._defaults}
            if item.name == "TCN":
                return item.call(TemporalBlock, **base)
            return item.call(Recurrent, kind=_RECURRENT[item.name], **base)
        if item.name == "Linear":
            if final and len(shape) == 2:
                raise item.cannot_follow(
                    items, shape, "(features,); put Flatten or a recurrent layer before it"
                )
            base = {
                "in_features": width,
                "out_features": output_size if final else self._defaults["hidden_size"],
            }
            return item.call(nn.Linear, **base)
        if item.name == "Dropout":
            return item.call(nn.Dropout, p=self._defaults["dropout"])
        if item.name == "LayerNorm":
            return item.call(nn.LayerNorm, normalized_shape=width)
        if item.name == "LastStep" and len(shape) != 2:
            raise item.cannot_follow(items, shape, "(lookback, features)")
        return item.call({"Flatten": nn.Flatten, "LastStep": LastStep, **_ELEMENTWISE}[item.name])


class _Item:
    """One entry of `layer_config`."""

    def __init__(self, index: int, name: str | None, arguments: dict[str, Any]) -> None:
        self.index = index
        self.name = name  # None: a `_target_` node, whole in arguments
        self.arguments = arguments

    @classmethod
    def parse(cls, index: int, item: object) -> _Item:
        """Read a name, `{name: arguments}` or a `_target_` node."""
        if isinstance(item, str):
            name: Any = item
            arguments: Any = {}
        elif isinstance(item, Mapping) and "_target_" in item:
            return cls(index, None, dict(item))
        elif isinstance(item, Mapping) and len(item) == 1:
            name, arguments = next(iter(item.items()))
            arguments = {} if arguments is None else arguments
        else:
            raise UserError(
                f"model.layer_config[{index}]={item!r}: must be a name, {{name: arguments}} or a _target_"
            )
        if name not in _NAMES:
            near = difflib.get_close_matches(str(name), _NAMES, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(
                f"model.layer_config[{index}]={name}: unknown layer; {hint}one of {', '.join(_NAMES)}, or a _target_"
            )
        if not isinstance(arguments, Mapping):
            raise UserError(f"model.layer_config[{index}]={name}: its arguments must be key: value pairs")
        return cls(index, str(name), dict(arguments))

    @property
    def reads_sequence(self) -> bool:
        """Whether every step must reach this layer; of a layer from elsewhere nobody knows, so it gets them."""
        return self.name is None or self.name in _SEQUENCE or self.name in ("Flatten", "LastStep")

    def __str__(self) -> str:
        return f"layer_config[{self.index}]={self.name or self.arguments['_target_']}"

    def cannot_follow(self, items: list[_Item], shape: Shape, needed: str) -> UserError:
        """The error for a layer that is fed what it cannot take."""
        before = f"after {items[self.index - 1]}" if self.index else "as first layer"
        return UserError(f"model.{self}: cannot stand {before}: gets {shape}, needs {needed}")

    def call(self, layer: type[nn.Module], **defaults: Any) -> nn.Module:
        """Build a layer of this package or of torch; what the config says stands above the defaults."""
        from forecast.config.building import signature
        from forecast.config.checking import violations
        from forecast.config.messages import ConfigFault, did_you_mean

        known = signature(layer)
        rules = {} if known is None else known.parameters
        faults: list[ConfigFault] = []
        for name, value in self.arguments.items():
            key = f"model.{self}: {name}"
            if name in rules and name != "kind":
                faults += violations(value, rules[name].annotation, key)
            else:
                allowed = [other for other in rules if other != "kind"]
                faults.append(ConfigFault(key, value, "unknown key", did_you_mean(name, allowed)))
        if faults:
            raise UserError("\n".join(map(str, faults)))
        built: nn.Module = self._built(partial(layer, **(defaults | self.arguments)))
        return built

    def _built(self, build: Callable[[], Any]) -> Any:
        """What `build` gives, its complaint turned into one line."""
        try:
            return build()
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"model.{self}: {first_line(error)}") from error

    def elsewhere(self, shape: Shape) -> nn.Module:
        """Build a `_target_` node, giving it its input width and lookback where it asks and the config is silent."""
        from forecast.config.building import build, locate, signature

        taken = signature(locate(self.arguments["_target_"]))
        known = dict.fromkeys(_WIDTH_ARGUMENTS, shape[-1]) | {"lookback": shape[0]}
        asked = taken.parameters if taken else {}
        supplied = {k: v for k, v in known.items() if k in asked and k not in self.arguments}
        layer = self._built(partial(build, self.arguments, **supplied))
        if not isinstance(layer, nn.Module):
            raise UserError(f"model.{self}: gives a {type(layer).__name__}, must give a torch module")
        return layer


class Ensemble(nn.Module):
    """Networks alike but for their first weights, used as one; the forecast is the mean of theirs.

    Each is trained on its own loss, as if it stood alone, and all are kept from the epoch that was best for their mean.
    The mean varies less from seed to seed than a single network does (Lakshminarayanan, Pritzel and Blundell 2017,
    https://arxiv.org/abs/1612.01474).

    First weights are drawn one network after the other, so those of the k-th depend on the run's seed and on k, not
    on how many follow it; the first is the network that stands alone under `model=lstm`.

    Args:
        input_size: features a step.
        lookback: steps a window.
        output_size: horizon, times the number of quantiles where the network answers with those.
        layer_config: the layers of each, first to last, as of LayeredNetwork.
        hidden_size: width of every layer that does not say its own.
        num_layers: of every recurrent or TCN layer that does not say its own.
        dropout: of every Dropout, recurrent or TCN layer that does not say its own.
        members: how many.

    Raises:
        UserError: see LayeredNetwork.
    """

    def __init__(
        self,
        *,
        input_size: int,
        lookback: int,
        output_size: int,
        layer_config: Annotated[list[str | dict[str, Any]], MinLen(1)],
        hidden_size: Annotated[int, Ge(1)] = 32,
        num_layers: Annotated[int, Ge(1)] = 1,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        members: Annotated[int, Ge(1), Le(100)] = 5,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            LayeredNetwork(
                input_size=input_size,
                lookback=lookback,
                output_size=output_size,
                layer_config=layer_config,
                hidden_size=hidden_size,
                num_layers=num_layers,
                dropout=dropout,
            )
            for _ in range(members)
        )

    def forward(self, windows: Tensor) -> Tensor:
        """(batch, lookback, features) -> (batch, outputs), the mean of all members."""
        return torch.stack([member(windows) for member in self.members]).mean(dim=0)


class AroundReference(nn.Module):
    """A network whose answers are added to the forecasts of a reference: it learns what that leaves.

    The last layer begins with zero weights, so that the untrained network is the reference, and it stays the reference
    where no epoch is better on validation rows. The reference is fitted first, to the same training bars; it may look
    further back than the window.

    Args:
        input_size: features a step.
        lookback: steps a window.
        output_size: horizon, times the number of quantiles where the network answers with those.
        reference: a node of a forecaster that is no network, such as `{_target_: forecast.model.Har}`.
        layer_config: the layers, first to last, as of LayeredNetwork; the last one is Linear.
        hidden_size: width of every layer that does not say its own.
        num_layers: of every recurrent or TCN layer that does not say its own.
        dropout: of every Dropout, recurrent or TCN layer that does not say its own.

    Raises:
        UserError: see LayeredNetwork; the reference is no forecaster, or the last layer is not Linear.

    Source: initialised to HAR as in HARNet (Reisenhofer, Bayer and Hautsch 2022, https://arxiv.org/abs/2205.07719), but
    beside it rather than inside.
    """

    def __init__(
        self,
        *,
        input_size: int,
        lookback: int,
        output_size: int,
        reference: Any,
        layer_config: Annotated[list[str | dict[str, Any]], MinLen(1)],
        hidden_size: Annotated[int, Ge(1)] = 32,
        num_layers: Annotated[int, Ge(1)] = 1,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        from forecast.config.building import build

        super().__init__()
        self.reference = build(reference) if isinstance(reference, Mapping) else reference
        missing = [name for name in _FORECASTER if not callable(getattr(self.reference, name, None))]
        if missing or isinstance(self.reference, nn.Module):
            raise UserError(
                f"model.reference: gives a {type(self.reference).__name__}, must give a forecaster that is no network, "
                "such as forecast.model.Har"
            )
        self.layers = LayeredNetwork(
            input_size=input_size,
            lookback=lookback,
            output_size=output_size,
            layer_config=layer_config,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
        )
        if not isinstance(self.layers[-1], nn.Linear):
            raise UserError(
                f"model.layer_config: ends with {type(self.layers[-1]).__name__}, must end with Linear: "
                "with zero weights it adds nothing to model.reference"
            )

    def forward(self, windows: Tensor) -> Tensor:
        """(batch, lookback, features) -> (batch, outputs), what is added to the reference."""
        answers: Tensor = self.layers(windows)
        return answers


def output_shape(layer: nn.Module, shape: Shape, *, name: str) -> Shape:
    """What a layer makes of one window or its features, (lookback, features) or (features,): zeros go through it.

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
        # Threads started here would be missing in a process that is forked later.
        with torch.no_grad(), torch_threads(1):
            out = layer(torch.zeros(_PROBE_WINDOWS, *shape))
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise UserError(f"{name}: cannot take {shape}: {first_line(error)}") from error
    finally:
        layer.train(training)
    if not isinstance(out, Tensor) or out.dim() not in (2, 3) or len(out) != _PROBE_WINDOWS:
        what = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise UserError(
            f"{name}: gives {what} for {_PROBE_WINDOWS} windows, must give (batch, features) "
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
    shape = output_shape(network, (lookback, input_size), name=name)
    if shape != (output_size,):
        raise UserError(
            f"{name}: makes (batch, {', '.join(map(str, shape))}) of (batch, {lookback}, {input_size}), "
            f"must make (batch, {output_size}): one answer a step of data.horizon (and quantile)"
        )


def first_line(error: Exception) -> str:
    """The first line of torch's complaint."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    if "allocate memory" in text:
        return "there is not that much memory; lower model.hidden_size or data.seq_len"
    return text
