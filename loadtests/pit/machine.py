"""What a result was measured on and with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Return processor, cores, memory and system."""
    return {
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "memory": _first("/proc/meminfo", "MemTotal"),
        "load_average": os.getloadavg(),
        "system": platform.platform(),
    }


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of Python, of these distributions, and the commit (``-dirty`` when the tree is)."""
    found = {name: importlib.metadata.version(name) for name in distributions}
    commit = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    told = subprocess.run(commit, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return {"python": platform.python_version(), **found, "commit": told.stdout.strip() or "unknown"}


def _first(path: str, field: str) -> str:
    if not Path(path).exists():
        return ""
    lines = Path(path).read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "")
