"""The champion over HTTP: python serve.py [key=value].

python serve.py
python serve.py bundle=RUN_DIRECTORY port=9000
python serve.py host=0.0.0.0 api_key=SECRET workers=2
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.cli import command

if TYPE_CHECKING:
    from omegaconf import DictConfig


@command(config_name="serve")
def main(config: DictConfig) -> None:
    """Check the config, build the server, serve until stopped."""
    from forecast.config import build, check

    check(config)
    settings = build(config)
    from forecast.serve.server import serve  # LitServe only where there is something to serve

    serve(settings)


if __name__ == "__main__":
    main()
