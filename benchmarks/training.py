"""Training time against a bare PyTorch loop: python -m benchmarks.training [--hidden 32 128] [--rounds 5]

The same network, windows, batch size and number of epochs, one thread, each way in a process of its own, in
alternating rounds; medians of the ratio round by round. `bare` is the least a training can do: default Adam, batches
cut from a tensor, a forward over the validation windows an epoch; no clipping, no metrics, no early stopping, no
progress. `lightning` is the usual way: a LightningModule with a DataLoader over a TensorDataset. neuralforecast and
darts stand beside them where installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from forecast.data import MarketData, TimeSeriesScaler
from forecast.data.features import NoProcessing
from forecast.data.sources import SampleSource
from forecast.evaluate.metrics import Metrics
from forecast.model import LayeredNetwork, Trainer
from forecast.model.neural import NetworkForecaster

EPOCHS = 5
BATCH = 32


def prepared() -> MarketData:
    """AAPL, lookback 20."""
    data = MarketData(
        source=SampleSource(), features=NoProcessing(), scope="single", tickers=["AAPL"],
        scaler=TimeSeriesScaler(), batch_size=BATCH,
    )  # fmt: skip
    data.prepare()
    return data


def network(data: MarketData, hidden: int) -> nn.Module:
    """Two LSTM layers and a head, the same weights every time."""
    torch.manual_seed(0)
    return LayeredNetwork(**data.facts, layer_config=["LSTM", "Linear"], hidden_size=hidden, num_layers=2)


def tensors(data: MarketData, split: str) -> tuple[Tensor, Tensor]:
    """Normalised windows and targets of a whole split."""
    batch = data.windows_[split].take(np.arange(len(data.windows_[split])))
    windows, future = torch.from_numpy(batch.windows), torch.from_numpy(batch.future)
    return data.normaliser_.inputs(windows), data.normaliser_.targets(windows, future)


def ours(data: MarketData, hidden: int) -> float:
    """This project, with early stopping, clipping, metrics and a progress bar on."""
    trainer = Trainer(
        metric="val_rmse", mode="min", seed=0, max_epochs=EPOCHS, patience=EPOCHS, progress="on",
        weight_decay=0.0, decay="decoupled",
    )  # fmt: skip
    forecaster = NetworkForecaster(
        make_network=lambda: network(data, hidden),
        lookback=data.seq_len,
        trainer=trainer,
        score=Metrics(),
    )
    screen = io.StringIO()
    began = time.perf_counter()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
        result = forecaster.fit(data)
    assert len(result.history) == EPOCHS
    assert "val_theil_u" in screen.getvalue(), "the progress bar must be on"
    return time.perf_counter() - began


def bare(data: MarketData, hidden: int, *, validate: bool) -> float:
    """A loop of ten lines."""
    net = network(data, hidden)
    began = time.perf_counter()
    (x, y), (x_val, y_val) = tensors(data, "train"), tensors(data, "val")
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for index in torch.randperm(len(x)).split(BATCH):
            adam.zero_grad()
            loss = nn.functional.mse_loss(net(x[index]), y[index])
            loss.backward()
            adam.step()
        if validate:
            with torch.no_grad():
                nn.functional.mse_loss(net(x_val), y_val).item()
    return time.perf_counter() - began


class Usual(pl.LightningModule):
    """The module every tutorial shows."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """One batch."""
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        """One batch."""
        self.log("val_loss", nn.functional.mse_loss(self.net(batch[0]), batch[1]), prog_bar=True)

    def test_step(self, batch: list[Tensor]) -> None:
        """One batch."""
        self.log("test_loss", nn.functional.mse_loss(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Default Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def lightning(data: MarketData, hidden: int) -> float:
    """Lightning with DataLoaders over TensorDatasets."""
    from torch.utils.data import DataLoader, TensorDataset

    net = network(data, hidden)
    began = time.perf_counter()
    train = DataLoader(TensorDataset(*tensors(data, "train")), batch_size=BATCH, shuffle=True)
    val = DataLoader(TensorDataset(*tensors(data, "val")), batch_size=BATCH)
    trainer = pl.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, gradient_clip_val=1.0, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(Usual(net), train, val)
    return time.perf_counter() - began


def neuralforecast(data: MarketData, hidden: int) -> float:
    """Its LSTM on the same bars: the same number of steps, batch size and lookback."""
    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM

    closes = data.panel_.values[:, data.layout.target]
    steps = EPOCHS * -(-len(data.windows_["train"]) // BATCH)
    frame = pd.DataFrame({"unique_id": "AAPL", "ds": np.arange(len(closes)), "y": closes})
    model = LSTM(
        h=1, input_size=20, encoder_hidden_size=hidden, encoder_n_layers=2, max_steps=steps, batch_size=1,
        windows_batch_size=BATCH, accelerator="cpu", enable_progress_bar=False, logger=False,
        enable_checkpointing=False,
    )  # fmt: skip
    began = time.perf_counter()
    NeuralForecast(models=[model], freq=1).fit(frame)
    return time.perf_counter() - began


def darts(data: MarketData, hidden: int) -> float:
    """Its BlockRNNModel on the same bars."""
    from darts import TimeSeries
    from darts.models import BlockRNNModel

    first, last = data.split_ranges_["train"]
    times = data.panel_.times
    rows = data.panel_.values[(times >= first) & (times <= last)]
    model = BlockRNNModel(
        input_chunk_length=20, output_chunk_length=1, model="LSTM", hidden_dim=hidden, n_rnn_layers=2,
        batch_size=BATCH, n_epochs=EPOCHS, pl_trainer_kwargs={"accelerator": "cpu", "enable_progress_bar": False},
    )  # fmt: skip
    began = time.perf_counter()
    model.fit(TimeSeries.from_values(rows / rows.std(axis=0)))
    return time.perf_counter() - began


WAYS: dict[str, Callable[[MarketData, int], float]] = {
    "bare loop": lambda data, hidden: bare(data, hidden, validate=True),
    "bare loop, never validating": lambda data, hidden: bare(data, hidden, validate=False),
    "forecast": ours,
    "Lightning + DataLoader": lightning,
}
OTHERS = {"neuralforecast": neuralforecast, "darts": darts}
WAYS |= {name: way for name, way in OTHERS.items() if importlib.util.find_spec(name)}

_prepared = cache(prepared)


def _timed(name: str, hidden: int) -> float:
    """One training, in the process that does nothing else."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    return WAYS[name](_prepared(), hidden)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    processes = {name: ProcessPoolExecutor(1, mp_context=get_context("spawn")) for name in WAYS}
    print(
        f"{EPOCHS} epochs, {len(prepared().windows_['train'])} windows of 20 bars, batch {BATCH}, one thread"
    )
    print(f"{'':30}" + "".join(f"{f'hidden {hidden}':>24}" for hidden in arguments.hidden))
    ratios: dict[str, list[str]] = {name: [] for name in WAYS}
    for hidden in arguments.hidden:
        seconds: dict[str, list[float]] = {name: [] for name in WAYS}
        for number in range(arguments.rounds + 1):
            for name, process in processes.items():
                spent = process.submit(_timed, name, hidden).result()
                if number:  # the first round warms up
                    seconds[name].append(spent)
        for name, spents in seconds.items():
            each = [spent / base for spent, base in zip(spents, seconds["bare loop"], strict=True)]
            text = f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"
            ratios[name].append(text)
    for name, texts in ratios.items():
        print(f"{name:30}" + "".join(f"{text:>24}" for text in texts))


if __name__ == "__main__":
    main()
