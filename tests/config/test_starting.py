"""Exit codes, what is said, and what is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest


def files(folder: Path) -> set[str]:
    """What lies in a folder, besides the project itself."""
    ours = {"run.py", "parts.py", "session.py", "conf"}
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.relative_to(folder).parts[0] not in ours
    }


def test_a_run_that_finishes_exits_0_and_prints_its_directory_last(start, project):
    done = start("hydra.run.dir=here", apart=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == str(project / "here")
    assert files(project) == {"here", "here/config.yaml"}


def test_our_own_fault_exits_1_with_a_traceback(start, project):
    done = start("source.path=broken", apart=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ZeroDivisionError: our fault\n")
    assert files(project) == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["source.path=unknown"], "source.path=unknown: no such folder"),
        (["data.seq_len=0"], "data.seq_len=0: must be >= 1"),
        (["model.hiden_size=3"], "model.hiden_size: no such key; did you mean model.hidden_size?"),
        (["+model=small"], "model: an option of it is chosen already; write model=OPTION, without +"),
        (["=5"], "'=5': has no key; write key=value"),
        (["seed=1", ""], "'': has no key; write key=value"),
        (["hydra.run.dir="], "hydra.run.dir=: names no folder; hydra.run.dir=. is this one"),
        (["hydra.run.dir=${nope}"], "hydra.run.dir: Interpolation key 'nope' not found"),
        (["--cfg", "job", "-p", "nope"], "package 'nope' not found in config"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_exits_2_with_one_line_and_leaves_nothing(start, project, arguments, said):
    done = start(*arguments)
    assert (done.returncode, done.stderr) == (2, f"{said}\n")
    assert files(project) == set()


def test_a_syntax_error_in_a_config_file_is_said(start, project):
    (project / "conf" / "model" / "small.yaml").write_text("hidden_size: [1")
    done = start()
    assert done.returncode == 2
    assert "small.yaml" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_folders_that_were_there_before_stay(start, project):
    (project / "mine" / "empty").mkdir(parents=True)
    assert start("source.path=unknown", "hydra.run.dir=mine/empty").returncode == 2
    assert start("source.path=unknown", "hydra.run.dir=mine/new/deep").returncode == 2
    assert files(project) == {"mine", "mine/empty"}


def test_what_a_failed_job_wrote_is_not_deleted(start, project):
    assert start("source.path=halfway", "hydra.run.dir=here").returncode == 2
    assert files(project) == {"here", "here/model"}


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["hydra.run.dir=parts.py/below"], "hydra.run.dir"),
        (["-m", "hydra.sweep.dir=parts.py/below"], "hydra.sweep.dir"),
        (["hydra.run.dir=${source.path}", "source.path=parts.py/below"], "source.path"),
    ],
    ids=["run", "sweep", "by another key"],
)
def test_a_run_directory_that_cannot_be_made_is_a_mistake(start, words, key):
    done = start(*words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith(f"below: cannot be made (Not a directory); choose another folder by {key}")


def test_a_folder_whose_name_hydra_cannot_read_is_a_mistake(start_in, make_project, tmp_path):
    done = start_in(make_project(tmp_path / "a${b}"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "a${b}: " in done.stderr


def test_a_run_directory_that_cannot_be_written_to_is_a_mistake(start):
    done = start("hydra.run.dir=/proc")  # not even by root, where there is one
    assert done.returncode == 2
    assert "/proc: cannot be " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_exits_130(start, project):
    done = start("source.path=interrupted", apart=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert files(project) == set()


def test_what_nobody_watches_over_is_not_swept_over(start, project):
    run = project / "run.py"
    run.write_text(run.read_text().replace('session="session:Session"', ""))
    done = start("-m", "source.path=bars,other", "hydra.sweep.dir=sweep")
    assert (done.returncode, done.stderr) == (2, "-m: only runs are swept over; leave it out\n")
    assert files(project) == set()


def test_a_sweep_over_an_unknown_option_runs_nothing(start, project):
    done = start("-m", "model=small,smal")
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        ["model=smal: no such option; did you mean small? options: large, small"],
    )
    assert files(project) == set()


def test_a_run_that_keeps_nothing_leaves_no_folder(start, project):
    (project / "run.py").write_text(
        "from forecast.cli import command\n\ncommand()(lambda config: print('read'))()\n"
    )
    done = start()
    assert (done.returncode, done.stdout) == (0, "read\n")
    assert files(project) == set()


def test_help_shows_options_of_every_folder_and_the_keys_as_they_would_run(start, project):
    template = '  help: {template: "options:\\n$APP_CONFIG_GROUPS\\nkeys:\\n$CONFIG"}\n'
    conf = project / "conf" / "run.yaml"
    conf.write_text(conf.read_text().replace('  help: {template: "nothing"}\n', template))
    more = project / "more" / "model" / "mine.yaml"
    more.parent.mkdir(parents=True)
    more.write_text("_target_: parts.Model\nlayer_config: [GRU]\n")
    done = start("--help", "-cd", "more", "model=mine", "seed=7")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nmodel: large, mine, small\n" in done.stdout
    assert "\nseed: 7\n" in done.stdout
    assert "\n  - GRU\n" in done.stdout
    assert (start("--help", "model=nope").returncode, files(project)) == (
        2,
        {"more", "more/model", "more/model/mine.yaml"},
    )


def test_an_option_from_outside_is_chosen_and_built_without_an_edit(start, project):
    more = project / "more" / "source" / "mine.yaml"
    more.parent.mkdir(parents=True)
    more.write_text("_target_: mine.Source\npath: there\n")
    (project / "mine.py").write_text("class Source:\n    def __init__(self, *, path: str) -> None: ...\n")
    done = start("-cd", "more", "source=mine", "hydra.run.dir=here")
    assert (done.returncode, done.stderr) == (0, "")
    assert start("-cd", "more", "source=mine", "source.path=3").stderr == (
        "source.path=3: must be text; in quotes it is text: '3'\n"
    )
