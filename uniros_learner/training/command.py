"""What the commands share: an exit code and one plain line for everything that can go wrong."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from uniros_bringup.leave import leave
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.terminal import Terminal
from uniros_msgs.errors import UnirosError

REFUSED = 2  # as argparse has it
FAILED = 1
INTERRUPTED = 130  # the shell's exit code for "ended by Ctrl-C"

Body = Callable[[list[str], Terminal], int]


def call(body: Body, argv: list[str]) -> int:
    """`body(argv, terminal)`; the exit code. Errors of ours are told on standard error, without a traceback."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with Ctrl-C ignored
    name = os.path.basename(argv[0])
    try:
        return body(argv, Terminal())
    except InvalidConfig as error:
        print(f"{name}: {error}", file=sys.stderr)
        return REFUSED
    except UnirosError as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED


def run(body: Body) -> NoReturn:
    """As a program."""
    try:
        code = call(body, sys.argv)
    except SystemExit as asked:  # argparse's
        code = int(asked.code or 0)
    leave(code)
