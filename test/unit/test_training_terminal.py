"""Progress is a bar where somebody watches and plain lines where nobody does; Ctrl-C is a request first."""

from __future__ import annotations

import io
import os
import re
import signal
import time

import pytest
from rich.console import Console

from uniros_learner.training import terminal as terminals
from uniros_learner.training.interrupt import PATIENCE, Interrupt
from uniros_learner.training.terminal import Terminal


def test_a_file_gets_plain_lines_and_always_the_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminals, "LINE_PERIOD", 0.01)
    file = io.StringIO()
    with Terminal(file).progress("training", "at most 1,000 steps", 1000) as display:
        for done in (100, 999):
            time.sleep(0.02)
            display.update(done, lambda: "success 50%")
        display.update(1000, lambda: "success 100%")
    lines = file.getvalue().splitlines()
    assert [line.split(" s  ")[1] for line in lines] == [
        "100 of at most 1,000 steps  success 50%",
        "999 of at most 1,000 steps  success 50%",
        "1,000 of at most 1,000 steps  success 100%",
    ]
    assert "\x1b" not in file.getvalue()
    assert max(len(line) for line in lines) < 120


def test_a_terminal_gets_a_bar_with_details_under_it() -> None:
    shown = Terminal(io.StringIO())
    shown.console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with shown.progress("training", "at most 1,000 steps", 1000) as display:
        display.update(500, lambda: "success 50%")
        shown.say("check")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.console.file.getvalue())  # type: ignore[attr-defined]
    assert "check" in plain
    assert re.search(r"training +━+.* 500 of at most 1,000 steps 0:00:0\d *\r?\n  success 50%", plain)


def test_details_are_worked_out_only_when_they_are_shown() -> None:
    asked = []
    with Terminal(io.StringIO()).progress("training", "1,000 steps", 1000) as display:
        for done in range(1000):
            display.update(done, lambda: asked.append(1) or "")  # type: ignore[func-returns-value]
    assert len(asked) == 1


def test_the_first_ctrl_c_is_a_request() -> None:
    with Interrupt() as interrupt:
        assert not interrupt.requested()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.requested()
        time.sleep(PATIENCE + 0.1)  # whoever has asked may take time to save


def test_a_second_ctrl_c_ends_it_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the second signal was ignored")


def test_a_request_that_nobody_notices_ends_a_hanging_step() -> None:
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10.0)
    assert time.monotonic() - start < PATIENCE + 0.5


def test_signals_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupt():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
