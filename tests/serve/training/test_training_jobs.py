"""Jobs as processes: one at a time, seen from anywhere, ended by whoever may, and described truly when they die."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import warm

from forecast.errors import UserError
from forecast.serve.training_jobs import (
    BusyError,
    ClosingError,
    JobState,
    NothingBeforeError,
    TrainingJobs,
    acquire,
    is_held,
)

REPOSITORY = Path(__file__).parents[3]
PATIENCE_S = 120


@pytest.fixture
def training(world):
    made = TrainingJobs(folder=world.folder / "jobs", champion=world.link, nice=0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def endless(made):
    """A run whose config would train for days."""
    from omegaconf import OmegaConf

    from forecast import bundle

    run = made.folder / "endless"
    subprocess.run(["cp", "-r", made.run, run], check=True)
    config = OmegaConf.load(run / "config.yaml")
    config.trainer.max_epochs, config.trainer.patience = 1_000_000, None
    (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
    bundle.finish(run, version="1")
    return run


def until(look, *, what):
    deadline = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return seen


def pid_of(training, job):
    return int(until(lambda: read(training.folder / job / "pid"), what="a process"))


def read(path):
    return path.read_text() if path.exists() else ""


def locks_handed_on(pid):
    """Lock files that a process holds, and whether what it starts would seem to hold them too."""
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        name = os.path.basename(os.readlink(link))
        if name == ".lock":
            flags = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().partition("flags:")[2].split()[0]
            found[name] = not int(flags, 8) & os.O_CLOEXEC
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_there_is_one_at_a_time_until_it_is_cancelled(world, training, endless, monkeypatch):
    monkeypatch.setenv("FORECAST_ADMIN_KEY", "a key of the server")
    said = []
    started = training.start("train", endless, on_end=said.append)
    assert training.current().job == started.job
    with pytest.raises(BusyError, match=started.job):
        TrainingJobs(folder=training.folder, champion=world.link).start("train", endless)

    def epochs():
        state = training.look(started.job)
        assert state.running, state
        return state.progress.get("epoch", 0)

    first = until(epochs, what="an epoch")
    until(lambda: epochs() > first, what="progress")
    state = training.look(started.job)
    assert (state.phase, state.progress["max_epochs"]) == ("training", 1_000_000)
    assert state.progress["val_rmse"] > 0
    pid = pid_of(training, started.job)
    assert b"a key of the server" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert locks_handed_on(pid) == {".lock": False}
    state = training.cancel(started.job)
    assert (state.state, state.phase, state.status) == ("cancelled", "ended", 500)
    assert not alive(pid)
    assert not world.link.exists()
    assert started.ended.wait(PATIENCE_S)
    assert said == [state]
    assert state.ended > state.began
    assert "Traceback" not in (training.folder / started.job / "log.txt").read_text()
    training.nice = 19
    again = training.start("train", endless)
    assert os.getpriority(os.PRIO_PROCESS, pid_of(training, again.job)) == min(19, os.nice(0) + 19)
    assert training.cancel(again.job).state == "cancelled"


def test_one_that_is_killed_is_said_as_failed(training, endless):
    started = training.start("train", endless)
    os.kill(pid_of(training, started.job), signal.SIGKILL)
    assert started.ended.wait(PATIENCE_S)
    state = training.look(started.job)
    assert (state.state, state.status) == ("failed", 500)
    assert "the training process died" in state.error
    assert training.current() is None


def test_it_outlives_the_process_that_started_it_and_ends_with_its_server(world, training, endless):
    code = (
        "import os, sys; from pathlib import Path; from forecast.serve.training_jobs import *\n"
        "training = TrainingJobs(folder=Path(sys.argv[1]), champion=Path(sys.argv[2]))\n"
        "training.server = sys.argv[4]\n"
        "run = Path(sys.argv[3])\n"
        "print(training.start('train', run).job, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    places = [str(path) for path in (training.folder, world.link, endless)]
    started = warm.run([sys.executable, "-c", code, *places, training.server], cwd=REPOSITORY)
    assert started.returncode == -signal.SIGKILL, started.stderr
    job = started.stdout.strip()
    pid = pid_of(training, job)
    assert training.look(job).running
    stranger = TrainingJobs(folder=training.folder, champion=world.link)
    stranger.close()  # it is not its own
    assert stranger.current().job == job
    with pytest.raises(BusyError, match=job):
        stranger.start("train", world.run)
    training.close()
    assert training.look(job).state == "cancelled"
    assert not alive(pid)
    with pytest.raises(ClosingError):
        training.start("train", world.run)
    training.close()


def test_a_failure_is_said_in_a_line(training, tmp_path):
    started = training.start("train", tmp_path)
    assert started.ended.wait(PATIENCE_S)
    state = training.look(started.job)
    assert (state.state, state.status) == ("failed", 400)
    assert "no finished run here" in state.error
    assert "\n" not in state.error


class TestADeadJob:
    """What a reader makes of a job that left no last word."""

    @pytest.fixture
    def left(self, training):
        folder = training.folder / "20261122-140000-0123abcd"
        folder.mkdir(parents=True)
        state = JobState(
            job=folder.name, kind="train", server="gone", phase="promoting", bundle="run", champion=None
        )
        state.save(folder)
        return folder

    def test_is_failed(self, training, left):
        assert training.look(left.name).state == "failed"

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"job": "1", "colour": "blue"}'])
    def test_that_cannot_be_read_is_none(self, training, left, text):
        (left / "state.json").write_text(text)
        assert training.look(left.name) is None
        assert training.current() is None

    def test_is_running_while_its_lock_is_held(self, training, left):
        held = acquire(training.folder / ".lock")
        assert not training.look(left.name).running  # it is another's
        (training.folder / ".lock").write_text(left.name)
        assert training.look(left.name).running
        os.close(held)
        assert not training.look(left.name).running

    def test_is_cancelled_where_that_was_asked_for(self, training, left):
        (left / "cancel").touch()
        assert training.look(left.name).state == "cancelled"

    @pytest.mark.usefixtures("quick_proof")
    def test_is_promoted_where_it_holds_the_title(self, world, training, left):
        run = left / "run"
        subprocess.run(["cp", "-r", world.run, run], check=True)
        folder = world.promote(run)
        (left / "cancel").touch()
        state = training.look(left.name)
        assert (state.state, state.model_path) == ("promoted", str(folder.resolve()))


def test_one_that_has_said_its_last_word_is_waited_for(training, endless):
    training.folder.mkdir(exist_ok=True)
    lock = acquire(training.folder / ".lock")
    (training.folder / ".lock").write_text("20261122-140000-0123abcd")
    going = threading.Timer(0.2, os.close, [lock])
    going.start()
    started = training.start("train", endless)
    assert not going.is_alive()
    training.cancel(started.job)


@pytest.mark.parametrize("name", ["", ".", "..", "../jobs", "20261122-140000-0123abcd", "a\x00b", "x" * 5000])
def test_other_names_are_no_jobs(training, name):
    assert training.look(name) is None
    assert training.cancel(name) is None


def test_a_folder_that_cannot_be_written_to_is_said(world, tmp_path):
    (tmp_path / "file").write_text("")
    training = TrainingJobs(folder=tmp_path / "file" / "jobs", champion=world.link)
    with pytest.raises(UserError, match="no training can be started there"):
        training.start("train", world.run)
    assert training.current() is None


def test_old_jobs_are_removed(training, endless, monkeypatch):
    monkeypatch.setattr("forecast.serve.training_jobs.KEEP_JOBS", 2)
    for number in range(4):
        (training.folder / f"20200101-00000{number}-00000000").mkdir(parents=True)
    (training.folder / "mine").mkdir()
    started = training.start("train", endless)
    training.cancel(started.job)
    assert {path.name for path in training.folder.iterdir() if path.is_dir()} == {
        "20200101-000003-00000000",
        started.job,
        "mine",
    }


def test_a_lock_is_held_by_one_and_let_go_of_by_the_dead(tmp_path):
    held = acquire(tmp_path / "lock")
    assert acquire(tmp_path / "lock") is None
    assert is_held(tmp_path / "lock")
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=[held]
    )
    os.close(held)
    assert is_held(tmp_path / "lock")
    child.kill()
    child.communicate()
    assert not is_held(tmp_path / "lock")
    assert not is_held(tmp_path / "no such lock")


def test_only_one_of_many_at_once_gets_to_start(training, endless):
    barrier, started, busy = threading.Barrier(4), [], []

    def start():
        barrier.wait()
        try:
            started.append(training.start("train", endless))
        except BusyError as error:
            busy.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(started), len(busy)) == (1, 3)
    training.cancel(started[0].job)


@pytest.mark.usefixtures("quick_proof", "cold_python")
def test_a_rollback_is_done_in_a_process_of_its_own(world, training):
    with pytest.raises(NothingBeforeError, match="no champion"):
        training.roll_back()
    world.link.parent.mkdir(exist_ok=True)
    world.link.symlink_to(world.run)
    with pytest.raises(NothingBeforeError, match=r"leads to .*, no champion of"):
        training.roll_back()
    world.link.unlink()
    first = world.promote()
    with pytest.raises(NothingBeforeError, match="no champion before"):
        training.roll_back()
    world.promote(world.another_run("other", "seed=1"))
    assert training.roll_back().startswith(f"back to {first.name}; rolled back from ")
    assert world.link.resolve() == first.resolve()
