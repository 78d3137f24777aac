"""What a server says of the model it starts with."""

from __future__ import annotations

from forecast.serve.served import Served


def greeting(served: Served) -> list[str]:
    """Which model, and whether it beats "tomorrow = today".

    Args:
        served: the model.
    """
    predictor = served.predictor
    ratio = served.metrics.get("test_theil_u")
    skill = "undefined" if ratio is None else f"{ratio:.4f}"
    beaten = ratio is not None and ratio < 1
    tickers = ", ".join(predictor.tickers[:5]) + (", ..." if len(predictor.tickers) > 5 else "")
    return [
        f"serving {served.version}: {predictor.scope} {tickers}, lookback {predictor.lookback}, "
        f"horizon {predictor.horizon}",
        f'RMSE on its test days {skill} times that of "tomorrow = today"'
        + ("" if beaten else ": it does not beat it"),
    ]
