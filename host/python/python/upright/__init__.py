"""Error recovery for local-first AI programs."""
