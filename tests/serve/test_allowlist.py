"""Only classes made for it are built from a bundle's config."""

from __future__ import annotations

import pytest

from forecast.errors import UserError
from forecast.serve.allowlist import check_built, check_targets

GOOD = {"model": {"_target_": "forecast.model.LayeredNetwork", "layers": [{"_target_": "torch.nn.Linear"}]}}


def test_what_a_run_saves_is_allowed():
    check_targets(GOOD, where="here")
    check_built(GOOD["model"], where="here")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "forecast.files.write_whole",
        "forecast.serve.settings.Settings",
        "forecast.modelling.Thing",
        "torch.nnx.Thing",
        "torch.load",
        "",
        None,
        7,
        ["os", "system"],
    ],
)
@pytest.mark.parametrize("place", ["source", "trainer"])
def test_what_is_not_allowed_is_refused_wherever_it_stands(target, place):
    config = {**GOOD, place: {"deep": [{"_target_": target}]}}
    with pytest.raises(UserError, match="is not among the targets that may be served") as refused:
        check_targets(config, where="here")
    assert str(refused.value).startswith(f"here: {place}.deep[0]._target_=")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("forecast.data.market.os.system", "cannot be imported|no class that may be served"),
        ("forecast.data.bars.Path", "cannot be imported|no class that may be served"),
        ("torch.nn.functional.relu", "no class that may be served"),
        ("forecast.model.layers.partial", "cannot be imported|no class that may be served"),
        ("forecast.data.no_such_thing", "cannot be imported"),
        ("torch.nn.modules.module.warnings.warn", "no class that may be served"),
        ("torch.nn.parallel.distributed.logging.FileHandler", "no class that may be served"),
    ],
)
def test_a_way_through_an_allowed_module_leads_nowhere(target, said):
    with pytest.raises(UserError, match=said):
        check_built({"_target_": target}, where="here")


def test_a_plug_in_is_allowed_by_name():
    config = {"source": {"_target_": "fractions.Fraction"}}
    with pytest.raises(UserError):
        check_targets(config, where="here")
    check_targets(config, where="here", also=["fractions"])
    check_built(config["source"], where="here", also=["fractions.Fraction"])
    with pytest.raises(UserError):
        check_built(config["source"], where="here", also=["fraction"])
