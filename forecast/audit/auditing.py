"""All checks over one config, and what they came to."""

from __future__ import annotations

import sysconfig
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from forecast.audit.causality import data_of_a_prefix, features_of_a_prefix
from forecast.audit.finding import LeakError, Outcome
from forecast.audit.isolation import fold_isolation, future_corruption, scaler_span, window_borders
from forecast.audit.skill import batch_invariance, shuffled_control
from forecast.audit.subject import Subject
from forecast.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

CHECKS: dict[str, Callable[[Subject], str]] = {
    "prefix causality": features_of_a_prefix,
    "prefix causality of the data": data_of_a_prefix,
    "window borders": window_borders,
    "scaler span": scaler_span,
    "fold isolation": fold_isolation,
    "future corruption": future_corruption,
    "batch invariance": batch_invariance,
    "shuffled control": shuffled_control,
}


def audit(config: DictConfig) -> Iterator[Outcome]:
    """Run every check, one after the other.

    Args:
        config: composed and checked, with a trainer.

    Yields:
        an outcome a check; one whose plug-in raised has not passed, and the others go on.

    Raises:
        UserError: the data cannot be had as asked, so that there is nothing to audit.
    """
    from forecast.model.building import make_trainer

    with make_trainer(config).pinned():
        subject = Subject(config)
        _ = subject.original
        for name, check in CHECKS.items():
            began = time.monotonic()
            passed: bool | None = True
            try:
                detail = check(subject)
            except LeakError as leak:
                passed, detail = False, str(leak)
            except UserError as error:
                passed, detail = None, str(error)
            except Exception as error:  # noqa: BLE001  a plug-in may raise anything; the other checks go on
                passed, detail = (
                    None,
                    f"{type(error).__name__}: {' '.join(str(error).split())}{_where(error)}",
                )
            yield Outcome(name, passed, detail, round(time.monotonic() - began, 3))


def record(outcomes: list[Outcome], *, identity: str | None) -> dict[str, Any]:
    """What audit.json says.

    Args:
        outcomes: of all checks.
        identity: of the run that was audited; None when it was a config.
    """
    from dataclasses import asdict

    return {
        "passed": all(outcome.passed for outcome in outcomes),
        "identity": identity,
        "checks": [asdict(outcome) for outcome in outcomes],
    }


def _where(error: Exception) -> str:
    """File and line of the innermost frame that is no library's: the plug-in's, where it raised."""
    libraries = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(libraries)
    ]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
