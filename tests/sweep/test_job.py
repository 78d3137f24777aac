"""A job says in its own directory what became of it, and lets no exception out to the launcher."""

from __future__ import annotations

import json
import os
import warnings

import pytest
from sweep_parts import write_run

from forecast.errors import IncompatibleError, StoppedError, UserError
from forecast.sweep.job import MAX_ATTEMPTS
from forecast.sweep.record import JobResult
from forecast.track import process

RUN = "0" * 16


def raising(error):
    def task(*_):
        raise error

    return task


def test_a_finished_job(run_job, tmp_path):
    value, state = run_job(lambda config, hooks: 0.5)
    assert (value, state.status, state.objective, state.error) == (0.5, "finished", 0.5, None)
    assert state.title == "job 0 (seed=1)"
    assert state.seconds >= 0
    assert state.directory == str(tmp_path / "sweep" / "0")


def test_the_value_is_a_number_or_nothing(run_job):
    assert run_job(lambda config, hooks: float("nan"))[1].objective is None
    assert run_job(lambda config, hooks: None)[1].status == "finished"


@pytest.mark.parametrize(
    ("error", "status", "mistake", "said"),
    [
        (ZeroDivisionError("our fault"), "failed", False, "ZeroDivisionError: our fault"),
        (UserError("seed=x: wrong\nlr=0: too small"), "failed", True, "seed=x: wrong; lr=0: too small"),
        (IncompatibleError("one ticker"), "skipped", True, "one ticker"),
    ],
    ids=["fault", "mistake", "incompatible"],
)
def test_a_job_that_fails(run_job, tmp_path, capsys, error, status, mistake, said):
    value, state = run_job(raising(error))
    assert (value, state.status, state.user_error, state.error) == (None, status, mistake, said)
    log = (tmp_path / "sweep" / "0" / "run.log").read_text()
    assert ("Traceback" in log) is not mistake
    assert log.rstrip().endswith(str(error))
    assert capsys.readouterr() == ("", "")  # nobody reads what a worker prints


def test_a_job_of_the_same_process_tells_its_failure(run_job, capsys):
    run_job(raising(UserError("seed=x: wrong")), driver=process.identity())
    assert capsys.readouterr() == ("job 0 (seed=1)\n", "job 0 (seed=1): seed=x: wrong\n")


def test_the_log_of_an_earlier_run_is_not_touched(run_job, tmp_path):
    directory = write_run(tmp_path / "sweep" / "0")
    (directory / "run.log").write_text("all went well\n")
    run_job(raising(UserError("seed=x: wrong")))
    assert (directory / "run.log").read_text() == "all went well\n"


def test_how_far_it_got_and_its_history_when_it_is_stopped(run_job, tmp_path):
    def task(_, hooks):
        for epoch, value in enumerate((3.0, 1.0, float("nan"), 2.0)):
            hooks.on_epoch(epoch, {"val_rmse": value})
        raise StoppedError("enough")

    value, state = run_job(task)
    assert (value, state.status, state.objective, state.epochs) == (None, "pruned", 1.0, 4)
    history = json.loads((tmp_path / "sweep" / "0" / "history.json").read_text())
    assert [epoch["val_rmse"] for epoch in history] == [3.0, 1.0, None, 2.0]


def test_an_interrupted_job_says_so_and_lets_it_through(run_job, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_job(raising(KeyboardInterrupt()))
    assert JobResult.load(tmp_path / "sweep" / "0" / "job.json").status == "interrupted"


def test_a_job_being_ended_is_left_running_for_others_to_see(run_job, tmp_path):
    with pytest.raises(SystemExit):
        run_job(raising(SystemExit(1)))
    assert JobResult.load(tmp_path / "sweep" / "0" / "job.json").status == "running"


def test_a_job_whose_process_dies_every_time_is_given_up(run_job, tmp_path):
    for attempt in range(1, MAX_ATTEMPTS + 1):
        with pytest.raises(SystemExit):
            run_job(raising(SystemExit(1)))
        assert JobResult.load(tmp_path / "sweep" / "0" / "job.json").attempts == attempt
    value, state = run_job(lambda config, hooks: 1.0)
    assert (value, state.status) == (None, "failed")
    assert f"its process died {MAX_ATTEMPTS} times" in state.error
    assert run_job(lambda config, hooks: 1.0, sweep="again")[1].status == "finished"  # issued again: afresh


def test_a_finished_run_of_the_same_identity_is_not_run_again(run_job, tmp_path):
    def task(_, hooks):
        found = hooks.earlier(RUN)
        if found is not None:
            return 7.0
        write_run(tmp_path / "sweep" / "0", identity=RUN)
        return 7.0

    assert run_job(task)[1].status == "finished"
    value, state = run_job(task, number=1)
    assert (value, state.status, state.identity, state.epochs) == (7.0, "reused", RUN, 3)
    assert state.directory == str(tmp_path / "sweep" / "0")
    assert run_job(task)[1].status == "reused"  # also in its own directory, which is left as it is


def test_a_job_leaves_its_process_as_it_found_it(run_job, tmp_path):
    before, environment, filters = os.getcwd(), dict(os.environ), list(warnings.filters)

    def task(*_):
        assert os.getcwd() == str(tmp_path)  # the folder the command was started in
        os.chdir("/")
        os.environ["LEFT"] = "behind"
        os.environ.pop("PATH")
        warnings.simplefilter("ignore")
        return 1.0

    run_job(task)
    assert os.getcwd() == before
    assert dict(os.environ) == environment
    assert warnings.filters == filters


@pytest.fixture
def trial(monkeypatch):
    """As in a worker of the tuner: reports are heard, and answered with what the test says."""
    from hydra_plugins.ray_tune_sweeper import _job

    def answer(raised):
        def listener(_):
            if raised is not None:
                raise raised

        monkeypatch.setattr(_job, "_listener", listener)

    return answer


def reporting(_, hooks):
    hooks.on_epoch(0, {"val_rmse": 1.0})
    return 2.0


def test_a_trial_goes_on_is_stopped_or_is_interrupted_as_its_report_is_answered(run_job, trial, tmp_path):
    from hydra_plugins.ray_tune_sweeper import TrialStopped

    trial(None)
    assert run_job(reporting)[0] == 2.0
    trial(TrialStopped("others do better"))
    assert run_job(reporting)[1].status == "pruned"
    trial(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_job(reporting)
    assert JobResult.load(tmp_path / "sweep" / "0" / "job.json").status == "interrupted"


def test_a_tuner_is_said_of_a_trial_that_failed_or_excludes_itself(run_job, trial, tmp_path):
    from hydra_plugins.ray_tune_sweeper import TrialSkipped

    trial(None)
    with pytest.raises(ZeroDivisionError):
        run_job(raising(ZeroDivisionError("our fault")))
    assert JobResult.load(tmp_path / "sweep" / "0" / "job.json").status == "failed"
    with pytest.raises(TrialSkipped, match="one ticker"):
        run_job(raising(IncompatibleError("one ticker")), number=1)
