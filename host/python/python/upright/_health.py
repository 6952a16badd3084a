"""Reads for health checks: the server's list of models, and this machine's resources."""

from __future__ import annotations

from typing import Any

from upright._native import measure, same_model

_GIGABYTE = 1024**3
_HIGH = 90.0


def get_json(url: str, timeout: float) -> Any:
    """The JSON at an address, by `requests` where it is installed."""
    try:
        import requests
    except ImportError:
        import json
        from urllib.request import urlopen

        with urlopen(url, timeout=timeout) as answer:
            return json.load(answer)
    # Looked up at each call, so that a test may patch it.
    response = requests.get(url, timeout=timeout)
    response.raise_for_status()
    return response.json()


def has_model(models: list[str], wanted: str) -> bool:
    """Whether a list of names has this model, as Ollama compares names."""
    return any(same_model(model, wanted) for model in models)


def resources() -> tuple[dict[str, float], list[str]]:
    """Free memory, disk and processor time of this machine, and a sentence on each that is short."""
    memory_total, memory, disk_total, disk, cpu = measure("/")
    memory_percent, disk_percent = _used(memory_total, memory), _used(disk_total, disk)
    issues: list[str] = []
    if memory_percent > _HIGH:
        issues.append(f"High memory usage: {memory_percent:.1f}%")
    if disk_percent > _HIGH:
        issues.append(f"Low disk space: {disk / _GIGABYTE:.1f}GB available")
    details = {
        "memory_available_gb": memory / _GIGABYTE,
        "memory_percent": memory_percent,
        "disk_available_gb": disk / _GIGABYTE,
        "disk_percent": disk_percent,
        "cpu_percent": float(cpu or 0.0),
    }
    return details, issues


def _used(total: int, available: int) -> float:
    return 100.0 * (1.0 - available / total) if total else 0.0
