"""Who is champion, as the folder that the link leads to tells it."""

from __future__ import annotations

import json
from pathlib import Path


def holds_title(champion: Path, run: Path) -> bool:
    """Whether the champion is a copy of a run directory.

    Args:
        champion: link to the champion; there may be none.
        run: of a run, as its promotion named it.
    """
    try:
        told = json.loads((champion / "metadata.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("run_directory") == str(run.absolute())
