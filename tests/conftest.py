"""One seed and one thread for every test; time limits belong to pytest-timeout, not to hypothesis."""

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("project")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)
