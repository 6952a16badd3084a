"""Error recovery for local-first AI programs."""

from __future__ import annotations

import os

from upright._native import after_fork_in_child

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork_in_child)
