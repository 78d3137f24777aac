"""One run: python run.py [group=option] [key=value]; with -m and comma-separated values, a sweep.

python run.py data=range_multiple model.hidden_size=256
python run.py -m model=lstm,gru seed=1,2,3
python run.py -cd RUN_DIRECTORY -cn config        # a saved run again
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.cli import command

if TYPE_CHECKING:
    from omegaconf import DictConfig


@command(check="forecast.pipeline:check", session="forecast.sweep.session:SweepSession")
def main(config: DictConfig) -> float | None:
    """Check the config, run the pipeline, print the verdict and the run directory."""
    from forecast import pipeline
    from forecast.config import in_sweep, run_directory

    pipeline.check(config)
    if config.trainer is None:
        print(pipeline.check_data(config))
        return None
    hooks = None
    if in_sweep():
        from forecast.sweep.job import current_job

        hooks = current_job()
    run = pipeline.run(config, run_directory(config), hooks)
    print(run.verdict.text)
    print(run.directory)
    return run.metrics.get(config.objective.metric)


if __name__ == "__main__":
    main()
