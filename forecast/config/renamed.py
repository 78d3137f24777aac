"""Where classes that saved configs name have moved to."""

from __future__ import annotations

# `_target_` in a saved config -> where the class is now. Applied when a saved config is loaded or replayed.
RENAMED: dict[str, str] = {}
