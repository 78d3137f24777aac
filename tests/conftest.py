"""One seed and one thread for every test; time limits belong to pytest-timeout, not to hypothesis."""

import signal

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("project")

# A shell's background job ignores Ctrl-C and hands that on; runs that tests interrupt must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A real browser, see browsing.py."""
    from browsing import Browser

    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()
