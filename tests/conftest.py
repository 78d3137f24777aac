"""One seed and one thread for every test; time limits belong to pytest-timeout, not to hypothesis."""

import gc
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from forecast.lazy import collect_rarely

collect_rarely()
settings.register_profile("project", deadline=None, derandomize=True, max_examples=60)
# make check-long: the same laws on other and many more examples
settings.register_profile("long", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("project")

# A shell's background job ignores Ctrl-C and hands that on; runs that tests interrupt must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# See warm.py: the process that started the tests, of whose workers this is one.
os.environ["FORECAST_TESTS_SESSION"] = str(
    os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
)

# Folders whose tests share what is expensive to make: one worker gets all of a folder's tests, another all of the next.
# What takes longest comes first.
GROUPS = {
    "tests/ray_tune_sweeper": "ray",
    "tests/test_tuner.py": "ray",
    "tests/test_walk_forward.py": "ray",
    "tests/sweep": "sweep",
    "tests/serve/training": "serve training",
    "tests/serve/page": "serve page",
    "tests/evaluate/report/test_in_browser.py": "serve page",
    "tests/test_docs.py": "docs",
    "tests/champion": "champion",
    "tests/track": "track",
    "tests/predict": "predict",
}


def group_of(path: str) -> str:
    """The group of a test file: that of its folder, else the file itself."""
    places = [place for place in GROUPS if path == place or path.startswith(f"{place}/")]
    return GROUPS[max(places, key=len)] if places else path


def group_of_test(nodeid: str) -> str:
    """The group of a test, by its node id, which begins with its file below the project's folder."""
    return group_of(nodeid.partition("::")[0])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """The large groups come first, in the order of GROUPS, so that the workers end at the same time."""
    order = {group: place for place, group in enumerate(dict.fromkeys(GROUPS.values()))}
    items.sort(key=lambda item: order.get(group_of_test(item.nodeid), len(order)))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which `-p no:xdist` leaves out
def pytest_xdist_make_scheduler(config, log):
    """Hand out whole groups. Its own `--dist loadgroup` renames tests, which pytest 9.2 does not allow any more."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of_test(nodeid)

    config.option.loadscopereorder = False  # by number of tests, which says little of how long they take
    return Groups(config, log)


def pytest_collection_finish():
    _exempt_imports()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    if len(sys.modules) > _exempt["modules"] + 200:
        _exempt_imports()


_exempt = {"modules": 0}


def _exempt_imports() -> None:
    """What was imported stays: who collects garbage, as a sweep does after each job, need not look at it again."""
    gc.collect()
    gc.freeze()
    _exempt["modules"] = len(sys.modules)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _nested_python(tmp_path_factory):
    """What the project starts by itself is warm, here and in processes that were started warm, see warm.NESTED."""
    import warm

    script = tmp_path_factory.mktemp("nested") / "python"
    script.write_text(warm.NESTED)
    script.chmod(0o755)
    sys.executable = os.environ[warm.NESTED_PYTHON] = str(script)
    yield
    sys.executable = warm.PYTHON


@pytest.fixture
def cold_python(monkeypatch):
    """What the project starts by itself in this test is as its users have it."""
    import warm

    monkeypatch.setattr(sys, "executable", warm.PYTHON)


@pytest.fixture(scope="session")
def trained_runs(tmp_path_factory):
    """Finished runs that all tests share, see trained.py."""
    from trained import TrainedRuns, shared_folder

    return TrainedRuns(shared_folder(tmp_path_factory))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An MLflow store without a run, to be copied: making one takes longer than a run does."""
    from filelock import FileLock
    from trained import shared_folder

    from forecast.track.connection import connect

    database = shared_folder(tmp_path_factory) / "mlflow.db"
    with FileLock(f"{database}.lock"):
        if not database.exists():
            connect(f"sqlite:///{database}", patience_s=60.0)
    return database


@pytest.fixture(scope="session")
def ray_cluster():
    """The address of a Ray of two cores, one for all tests of a process, which this process has joined."""
    import ray

    from hydra_plugins.ray_tune_sweeper import connect

    with pytest.MonkeyPatch.context() as patch:
        root = Path(__file__).parents[1]
        patch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "tests")]))  # workers inherit it
        connect({"address": "local", "num_cpus": 2, "object_store_memory": 100_000_000})
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A real browser, see browsing.py."""
    from browsing import Browser

    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()
