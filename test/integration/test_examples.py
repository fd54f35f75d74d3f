"""The examples that train run as they stand, with settings so small that they take seconds."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.patient

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RUNS = {
    "train_reach.py": (["td3", "320"], "steps were refused; the policy: runs/td3-"),
    "plain_sb3.py": (["220"], "return of 10 episodes without exploration: -"),
    "single_file_td3.py": (["330"], "training episodes: "),
    "collect_and_update.py": (["2"], "1,024 steps, success "),
}


@pytest.mark.parametrize("name", RUNS)
def test_an_example_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, said = RUNS[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(example: Path) -> None:
    assert len(example.read_text().splitlines()) <= 60
