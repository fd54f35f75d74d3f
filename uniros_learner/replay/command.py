"""`rosrun uniros replay BAG...`: what bags hold, as a table and pictures, and in other forms to learn from.

Without ROS: `python -m uniros_learner.replay BAG...`; only --drift needs it, for a simulated arm.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from uniros_learner.replay.bags import Bags
from uniros_learner.replay.summary import Recent, Summary
from uniros_learner.replay.trajectory import Trajectory, trajectories
from uniros_learner.training import run_folder
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.terminal import Terminal

LAST = "last"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="replay", description="Shows what is in bags of transitions. Bags that were cut off are repaired.")
    parser.add_argument("bags", nargs="+", metavar="BAG", help="bags, or folders of them")
    parser.add_argument("--ns", help="only what the env server in this namespace did")
    parser.add_argument("--failed", action="store_true", help="with episodes that broke off with an error")
    parser.add_argument("--actions", choices=("requested", "executed"), default="requested",
                        help="which actions to convert: as the learner chose them (default), or as the robot moved")
    parser.add_argument("--plots", metavar="DIR", help="folder for the pictures; default: runs/replay-TIME")
    parser.add_argument("--no-plots", action="store_true", help="the table is enough")
    parser.add_argument("--to-buffer", metavar="FILE", help="write the transitions to an .npz file; "
                        "uniros_learner.replay.convert.load_buffer makes a replay buffer of it")
    parser.add_argument("--to-minari", metavar="NAME", help="make a Minari dataset, e.g. rx200/reach-v0")
    parser.add_argument("--drift", metavar="EPISODE", help="carry out this episode's executed actions (a number, or "
                        f"{LAST!r}) on a simulated arm, and tell how far it ends up elsewhere")
    return parser


def run(argv: list[str], terminal: Terminal) -> int:
    """The whole command; returns the exit code."""
    options = parser().parse_args(argv[1:])
    try:
        with Bags(options.bags) as bags:
            show(bags, options, terminal)
            if options.to_buffer:
                _to_buffer(bags, options, terminal)
            if options.to_minari:
                _to_minari(bags, options, terminal)
            if options.drift:
                _drift(bags, options, terminal)
    except OSError as error:
        raise InvalidConfig(str(error)) from error
    return 0


def show(bags: Bags, options: argparse.Namespace, terminal: Terminal) -> None:
    """The table and, unless they are not wanted, the pictures."""
    summary, recent = Summary(), Recent()
    for trajectory in _chosen(bags, options, summary):
        recent.add(summary.add(trajectory), trajectory)
    if not summary.servers:
        raise InvalidConfig(f"nothing was recorded {'in ' + options.ns if options.ns else 'at all'}")
    terminal.say(summary.text())
    if options.no_plots:
        return
    from uniros_learner.replay import plots

    folder = Path(options.plots) if options.plots else run_folder.fresh("replay", Path("runs"))
    folder.mkdir(parents=True, exist_ok=True)
    made = [path for server in summary.servers.values() for path in plots.draw(folder, server, recent.of(server))]
    terminal.say("\n" + "\n".join(f"  {path}" for path in made))


def _chosen(bags: Bags, options: argparse.Namespace, summary: Summary | None = None) -> Iterator[Trajectory]:
    """Those the options ask for; all of them for a summary, which also counts what failed."""
    wanted = "/" + options.ns.strip("/") if options.ns else ""
    for trajectory in trajectories(bags, bool(summary) or options.failed, *([summary.gap] if summary else [])):
        if not wanted or trajectory.namespace == wanted:
            yield trajectory


def _to_buffer(bags: Bags, options: argparse.Namespace, terminal: Terminal) -> None:
    from uniros_learner.replay.convert import save_arrays

    count = save_arrays(Path(options.to_buffer), _chosen(bags, options), options.actions)
    terminal.say(f"\n{count:,} transitions in {options.to_buffer}")


def _to_minari(bags: Bags, options: argparse.Namespace, terminal: Terminal) -> None:
    from uniros_learner.replay.convert import to_minari

    try:
        count = to_minari(options.to_minari, _chosen(bags, options), options.actions)
    except (ImportError, ValueError) as error:
        raise InvalidConfig(str(error)) from error
    terminal.say(f"\n{count:,} transitions in the Minari dataset {options.to_minari}")


def _drift(bags: Bags, options: argparse.Namespace, terminal: Terminal) -> None:
    from uniros_learner.replay.drift import drift

    found = None
    for trajectory in _chosen(bags, options):
        if options.drift == LAST and trajectory.whole:
            found = trajectory
        elif str(trajectory.about.episode) == options.drift and trajectory.begun:
            found = trajectory
            break
    if found is None:
        raise InvalidConfig(f"there is no episode {options.drift} with its beginning on record")
    result = drift(found)
    terminal.say("\n" + result.text())
    if not options.no_plots:
        folder = Path(options.plots) if options.plots else Path("runs")
        path = folder / f"drift-{found.namespace.strip('/').replace('/', '-')}-{found.about.episode}.png"
        result.draw(path)
        terminal.say(f"\n  {path}")
