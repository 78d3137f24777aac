"""Importing the package costs nothing, and its names are there."""

import subprocess
import sys

import pytest

import forecast.evaluate


def test_import_brings_nothing_heavy():
    heavy = "{'numpy', 'pandas', 'matplotlib', 'torch', 'sklearn', 'pyarrow'}"
    code = f"import sys, forecast.evaluate.verdict; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", forecast.evaluate.__all__)
def test_names(name):
    assert getattr(forecast.evaluate, name).__name__ in (name, f"forecast.evaluate.{name}")
    assert name in dir(forecast.evaluate)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'Metrix'"):
        _ = forecast.evaluate.Metrix
