"""`hydra_plugins.hydra_ray_launcher`'s launcher, which first checks that its cluster answers."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra_plugins.hydra_ray_launcher.ray_launcher import RayLauncher
from omegaconf import OmegaConf


class RayClusterLauncher(RayLauncher):
    """Launches through Ray's own plugin, once Ray is there; ray.init alone waits two minutes for a cluster in vain.

    Its keys are those of `hydra/launcher=ray`.
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, each as a task of Ray.

        Raises:
            SweepError: Ray cannot be had, or no node could ever run a job.
        """
        from hydra_plugins.ray_tune_sweeper import connect, key_of

        assert self.config is not None
        node = self.config.hydra.launcher
        wanted = OmegaConf.to_container(node.ray.remote, resolve=True)
        init = OmegaConf.to_container(node.ray.init, resolve=True)
        assert isinstance(wanted, dict)
        assert isinstance(init, dict)
        connect(
            {str(name): value for name, value in init.items()},
            cpus=wanted.get("num_cpus", 1),
            gpus=wanted.get("num_gpus", 0),
            names={
                name: key_of(node, f"ray.{place}", above="hydra.launcher")
                for name, place in (
                    ("address", "init.address"),
                    ("cpus", "remote.num_cpus"),
                    ("gpus", "remote.num_gpus"),
                )
            },
        )
        jobs: Sequence[JobReturn] = super().launch(job_overrides, initial_job_idx)
        return jobs
