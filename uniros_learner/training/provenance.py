"""What a run was made with and where: versions, the state of the source tree, machine, environment, bags."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from uniros_msgs import spaces

PACKAGES = ("uniros", "gymnasium", "numpy", "torch", "stable_baselines3", "sb3_contrib", "sbx-rl", "mujoco")
TOLD = ("env_id", "num_envs", "mode", "cycle_time", "spec_hash")  # of an env server's description
GIT_PATIENCE = 5.0  # s


def collect(venv: Any, description: Any, seeds: dict[str, int]) -> dict[str, Any]:
    """Everything there is to say at the beginning of a run, as JSON can hold it.

    description: of the env server, or None for an environment of this process.
    """
    inner = venv.unwrapped
    environment: dict[str, Any] = {name: getattr(description, name) for name in TOLD} if description else {}
    environment |= {"observation_space": spaces.describe(inner.observation_space),
                    "action_space": spaces.describe(inner.action_space)}
    if description:
        environment |= {name: json.loads(getattr(description, name)) for name in ("task", "limits", "versions")}
    return {
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "seeds": seeds,
        "environment": environment,
        "versions": {"python": platform.python_version(), **versions()},
        "git": git_state(Path(__file__).resolve().parent),
        "machine": machine(),
    }


def versions() -> dict[str, str]:
    """Of the packages that decide how a run goes, as far as they are installed here."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> dict[str, Any]:
    """The commit of the source tree, and the files that differ from it; {} where there is no repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no") or ""
    return {"commit": commit.strip(), "changed": [line[3:] for line in changed.splitlines()]}


def _git(folder: Path, *arguments: str) -> str | None:
    if shutil.which("git") is None:
        return None
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=GIT_PATIENCE,
                              check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def machine() -> dict[str, Any]:
    """Where it ran."""
    return {"host": platform.node(), "system": platform.platform(), "cores": os.cpu_count(), "cpu": _cpu()}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
