"""Leave a worker process as it was found, so that a job computes the same whatever ran in it before."""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def clean_state(seed: int) -> Iterator[None]:
    """Run one job of a process that runs many: nothing it changes is seen by the next.

    Restored are the environment, the working directory, `sys.path` and `sys.argv`, logging, warning filters,
    Hydra's singletons and OmegaConf's resolvers, and torch's threads, default type and determinism. Imports
    stay: they are why processes are used again.

    Args:
        seed: of the global generators of `random` and, where they are loaded, NumPy and torch.
    """
    with ExitStack() as stack:
        for keep in (_environment, _logging, _warnings, _hydra, _torch):
            stack.callback(keep())
        _seed(seed)
        yield


def _seed(seed: int) -> None:
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def _environment() -> Callable[[], None]:
    variables, folder, path, argv = dict(os.environ), os.getcwd(), list(sys.path), list(sys.argv)

    def restore() -> None:
        for name in os.environ.keys() - variables.keys():
            del os.environ[name]
        os.environ.update(variables)
        os.chdir(folder)
        sys.path[:], sys.argv[:] = path, argv

    return restore


def _logging() -> Callable[[], None]:
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, logging.root.manager.disable

    def restore() -> None:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()  # a job's log file
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)

    return restore


def _warnings() -> Callable[[], None]:
    stack = ExitStack()
    stack.enter_context(warnings.catch_warnings())
    return stack.close


def _hydra() -> Callable[[], None]:
    from hydra.core.singleton import Singleton
    from omegaconf.basecontainer import BaseContainer

    instances, resolvers = dict(Singleton._instances), dict(BaseContainer._resolvers)
    fields = {kind: dict(vars(instance)) for kind, instance in instances.items()}

    def restore() -> None:
        Singleton._instances = instances
        for kind, values in fields.items():
            held: Any = instances[kind].__dict__
            held.clear()
            held.update(values)
        BaseContainer._resolvers = resolvers

    return restore


def _torch() -> Callable[[], None]:
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return lambda: None
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    gradients = torch.is_grad_enabled()

    def restore() -> None:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.set_grad_enabled(gradients)

    return restore
