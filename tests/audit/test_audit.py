"""The audit catches planted leaks, each by the check that is meant for it, and passes what is shipped."""

import json
from pathlib import Path

import pytest
from composed import compose
from omegaconf import OmegaConf, open_dict

import forecast
from forecast.audit.__main__ import main
from forecast.audit.checks import CHECKS, audit, conclusion
from forecast.audit.subject import LeakError, Shuffled, Subject
from forecast.config import check
from forecast.data import HealthCheck
from forecast.data.sources import SampleSource
from forecast.pipeline import make_trainer

CONF = Path(__file__).parents[2] / "conf"
STRATEGIES = sorted(path.stem for path in (CONF / "data").glob("*_*.yaml"))
QUICK = ["trainer=smoke", "tracker=none", "data.period=4y", "model.hidden_size=4", "plots=false"]
FEATURES, DATA = "prefix causality", "prefix causality of the data"
BY_FEATURES = [
    "FullDataScaler",
    "CentredWindow",
    "TargetInFeatures",
    "BackFill",
    "WarmUpBackFill",
    "Interpolated",
    "NextEvent",
    "SortedByFuture",
    "Detrended",
    "WeeklyMean",
    "ForwardBackwardFilter",
    "RelativeToTheEnd",
]
WALK = {"folds": 3, "step": 60}


def config_with(key, node, *overrides):
    config = compose(*QUICK, *overrides)
    with open_dict(config):
        OmegaConf.update(config, key, node, merge=key == "data", force_add=True)
    check(config)
    return config


def leak_found(config, name):
    with make_trainer(config).pinned(), pytest.raises(LeakError) as found:
        CHECKS[name](Subject(config))
    return str(found.value)


def detail(config, name):
    with make_trainer(config).pinned():
        return CHECKS[name](Subject(config))


@pytest.mark.parametrize("leak", BY_FEATURES)
def test_a_feature_that_looks_ahead_is_named_with_its_date(leak):
    found = leak_found(config_with("data.features", {"_target_": f"leaks.{leak}"}), FEATURES)
    assert found.startswith("feature Leak of AAPL on 20")
    assert "looks ahead" in found


@pytest.mark.parametrize(
    "leak", ["BeforeALargeMove", "BeforeADayWithoutTrading", "OnTheBusiestDays", "OnOneDayInTwoHundred"]
)
def test_a_feature_that_looks_ahead_on_rare_days_shows_when_what_follows_is_shocked(leak):
    found = leak_found(config_with("data.features", {"_target_": f"leaks.{leak}"}), "shock")
    assert found.startswith("feature Leak of AAPL on 20")
    assert "looks ahead" in found


@pytest.mark.parametrize("leak", ["OwnMoveByDate", "AnotherTickersMoveByDate", "Weekday"])
def test_a_feature_that_reads_the_date_shows_when_the_dates_are_moved(leak):
    found = leak_found(config_with("data.features", {"_target_": f"leaks.{leak}"}), "moved dates")
    assert found.startswith("feature Leak of AAPL is")
    assert "reads the date" in found


def test_declared_calendar_features_are_exempt_and_named():
    config = config_with("data.features", {"_target_": "leaks.DeclaredWeekday"})
    assert detail(config, "moved dates") == "1 ticker(s); declared as read from the date: Leak"
    assert "NextWeekdayCos" in detail(config_with("data", {"calendar": "XNYS"}), "moved dates")
    undeclared = config_with("data.features", {"_target_": "leaks.DeclaredMove"})
    assert "changes with the bars" in leak_found(undeclared, "moved dates")


@pytest.mark.parametrize("source", ["VolumeOfTheNextDay", "HighOfTwoDays"])
def test_a_source_whose_bars_know_the_next_one_is_suspected(source):
    config = config_with("source", {"_target_": f"leaks.{source}"})
    assert "bars may hold something of the next" in leak_found(config, "bars before the next")


@pytest.mark.parametrize(
    ("key", "node", "name", "message"),
    [
        ("target", {"_target_": "leaks.LeakingTarget"}, FEATURES, "Smoothed, the target, of AAPL"),
        ("model", {"_target_": "leaks.Peeking"}, "shuffled control", "the model has skill"),
        ("model", {"_target_": "leaks.Peeking"}, "believable skill", "the model has more skill"),
        (
            "data",
            {"features": {"_target_": "leaks.OwnMoveByDate"}},
            "believable skill",
            "more skill than close of real bars allows",
        ),
        ("data", {"health": {"_target_": "leaks.Winsorised"}}, DATA, "Volume of AAPL on 20"),
        ("data", {"_target_": "leaks.ScaledOnEverything"}, "scaler span", "of High is"),
        (
            "data",
            {"_target_": "leaks.TrainedIntoValidation"},
            "window borders",
            "a train window forecasts 20",
        ),
        ("data", {"_target_": "leaks.LastBatchDropped"}, "window borders", "test: 128 windows are evaluated"),
        ("data", {"_target_": "leaks.NoEmbargo"}, "fold isolation", "0 days between them"),
        ("evaluation", {"_target_": "leaks.TrainsUpToTheTest", **WALK}, "fold isolation", "train ends 20"),
        ("evaluation", {"_target_": "leaks.TestsTwice", **WALK}, "fold isolation", "is tested in two folds"),
        ("model", {"_target_": "leaks.AtItsNeighbours"}, "batch invariance", "rest of the batch"),
        ("model", {"_target_": "leaks.AtWhatItSawBefore"}, "batch invariance", "remembers it"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get("_target_", "health"),
)
def test_a_leak_elsewhere_is_caught_where_it_is(key, node, name, message):
    assert message in leak_found(config_with(key, node), name)


def test_a_target_among_the_features_has_skill_on_shuffled_bars():
    config = config_with("data.features", {"_target_": "leaks.TargetInFeatures"})
    assert "where nothing can be forecast, the model has skill" in leak_found(config, "shuffled control")


def test_every_strategy_is_audited():
    assert len(STRATEGIES) >= 6


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_shipped_passes(strategy):
    several = [] if strategy.endswith("_single") else ["data.tickers=[AAPL,MSFT]"]
    config = compose(f"data={strategy}", *QUICK, "data.period=3y", *several)
    check(config)
    outcomes = list(audit(Subject(config)))
    assert [found.check for found in outcomes] == list(CHECKS)
    assert all(found.passed for found in outcomes), [found for found in outcomes if not found.passed]


def test_a_walk_forward_passes():
    config = compose(*QUICK, "evaluation=walk_forward", "evaluation.folds=3", "evaluation.step=60")
    assert detail(config, "fold isolation") == "3 fold(s)"


def test_a_plug_in_that_raises_is_refused_in_a_line_and_the_other_checks_go_on(monkeypatch):
    # It raises in the prefix check alone: the data of the audit itself is sound.
    import leaks

    sound = leaks.Raising.leak

    def later(self, bars):
        return sound(self, bars) if 100 < len(bars) < 500 else bars["Close"] * 0

    monkeypatch.setattr(leaks.Raising, "leak", later)
    outcomes = list(audit(Subject(config_with("data.features", {"_target_": "leaks.Raising"}))))
    assert len(outcomes) == len(CHECKS)
    first = outcomes[0]
    assert first.passed is None
    assert first.detail.startswith("KeyError: 'Open interest' (")
    assert "leaks.py:" in first.detail
    assert outcomes[-1].passed
    said = conclusion(Subject(config_with("data.features", {"_target_": "leaks.Raising"})), outcomes)
    assert said.startswith("the audit failed: not every check could be made")
    assert "prefix causality (it raised)" in said


def test_a_feature_that_cannot_do_with_few_bars_is_no_leak(monkeypatch):
    import leaks

    sound = leaks.Raising.leak
    monkeypatch.setattr(
        leaks.Raising,
        "leak",
        lambda self, bars: sound(self, bars) if len(bars) < 20 else bars["Close"].diff(),
    )
    found = detail(config_with("data.features", {"_target_": "leaks.Raising"}), FEATURES)
    assert "raised on the first 14 bars (KeyError: 'Open interest')" in found


def test_the_command_says_what_it_found_and_keeps_it_beside_a_run(tmp_path, capsys):
    run = forecast.run(*QUICK, directory=tmp_path / "run")
    assert main([f"run={run.directory}"]) == 0
    said = capsys.readouterr().out
    assert said.count("passed ") == len(CHECKS)
    last = said.strip().splitlines()[-1]
    assert last.startswith("nothing looks ahead in what was examined. Examined: 4 features and close of AAPL")
    assert "Not examined: whether the source rewrote or shifted its whole history" in last
    kept = json.loads((run.directory / "audit.json").read_text())
    assert kept["conclusion"] == last
    assert kept["passed"] is True
    assert kept["identity"]
    assert [found["check"] for found in kept["checks"]] == list(CHECKS)
    forecast.load(run.directory)  # the manifest still fits


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.seq_len=0"], "data.seq_len=0: must be >= 1"),
        (["trainer=none"], "trainer=none: the audit fits the model"),
        (["run=nowhere"], "nowhere: no finished run here"),
        (["dat=range_single"], "dat"),
    ],
)
def test_a_mistake_in_what_is_asked_is_refused_in_a_line(words, message, capsys):
    assert main(words) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not said.out


def test_a_plug_in_of_ones_own_folder_that_leaks_fails_the_command(tmp_path, capsys):
    folder = tmp_path / "conf" / "data"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "defaults: [default, _self_]\nfeatures:\n  _target_: leaks.CentredWindow\n  _recursive_: true\n"
    )
    assert main(["-cd", str(tmp_path / "conf"), "data=mine", *QUICK]) == 1
    said = capsys.readouterr().out
    assert "LEAK    prefix causality" in said
    assert said.strip().splitlines()[-1].startswith("the audit failed: prefix causality")


def test_how_busy_a_ticker_is_beside_another_is_no_leak():
    """On shuffled bars a model of volume still knows whose they are."""
    config = compose(
        "trainer=smoke",
        "tracker=none",
        "data=no_processing_panel",
        "data.tickers=[AAPL,IBM]",
        "data.period=4y",
        "target=volume",
        "target.span=3",
        "model=har",
    )
    assert "the model has R2" in detail(config, "shuffled control")  # which raises where there is skill


def test_no_fall_of_shuffled_adjusted_bars_is_taken_for_a_split():
    shuffled = Shuffled(SampleSource(), seed=19_990_101).bars("AAPL")
    HealthCheck(splits="error").check("AAPL", shuffled)  # which raises where there is one
