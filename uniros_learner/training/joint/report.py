"""The table at the end of a joint run: a column for each domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from uniros_learner.training.episodes import summarise
from uniros_learner.training.joint.domain import Domain
from uniros_learner.training.joint.experience import DomainEpisode
from uniros_learner.training.report import files

if TYPE_CHECKING:
    from uniros_learner.training.joint.run import JointRun

GAP = "   "


def rate(episodes: Sequence[DomainEpisode] | None) -> str:
    """How many of them succeed."""
    if episodes is None:
        return "down"
    success = summarise(episodes).success_rate
    return f"{success:.0%} of {len(episodes)}" if success is not None else f"{len(episodes)} episodes"


def summary(run: JointRun) -> str:
    """What a run achieved in each domain, and where its files are."""
    config = run.config
    places = " and ".join(domain.env_id for domain in run.domains)
    seconds = max(run.seconds, 1e-9)
    head = [f"{config.algorithm.upper()} on {places}, seed {config.seed}: {run.end.value}",
            f"  training {run.seconds:.1f} s, {run.updates:,} updates ({run.updates / seconds:.0f}/s), "
            f"{run.steps:,} steps learnt from, loop: {config.joint.loop}"]
    rows = [("", [domain.name for domain in run.domains]), *_training(run), *_evaluation(run)]
    return "\n".join([*head, *columns(rows)]) + "\n\n" + files(run.folder)


def verdict(run: JointRun) -> str:
    """The same in two lines."""
    found = ", ".join(f"{domain.name} {rate(run.evaluation.get(domain))}" for domain in run.domains)
    return f"{run.end.value} after {run.seconds:.1f} s; {found}\nall of it in {run.folder.shown}"


def _training(run: JointRun) -> list[tuple[str, list[str]]]:
    each: dict[str, Callable[[Domain], str]] = {
        "steps": lambda domain: f"{domain.made:,}",
        "episodes": lambda domain: f"{len(domain.episodes):,}",
        "steps dropped": lambda domain: f"{domain.dropped:,}",
        "failures": lambda domain: f"{domain.member.status().failures}",
        "late cycles": lambda domain: "" if domain.lock_step else f"{domain.late}",
        "command jitter": _jitter,
    }
    rows = [(name, [show(domain) for domain in run.domains]) for name, show in each.items()]
    return [row for row in rows if any(row[1])]


def _jitter(domain: Domain) -> str:
    p50, p99 = domain.jitter(0.5), domain.jitter(0.99)
    return "" if p50 is None or p99 is None else f"p50 {1e3 * p50:.1f}, p99 {1e3 * p99:.1f} ms"


def _evaluation(run: JointRun) -> list[tuple[str, list[str]]]:
    if not run.evaluation:
        return [("evaluation", ["none"] * len(run.domains))]
    target = run.config.evaluation.target
    rows: list[tuple[str, list[str]]] = [("success", []), ("final error", []), ("episode length", []), ("target", [])]
    for domain in run.domains:
        episodes = run.evaluation[domain]
        found = summarise(episodes)
        known = found.mean_error is not None and found.p95_error is not None
        rows[0][1].append(rate(episodes) if episodes else "down")
        rows[1][1].append(f"{1e3 * found.mean_error:.1f} mm, p95 {1e3 * found.p95_error:.1f}" if known else "")  # type: ignore
        rows[2][1].append("" if found.mean_length is None else f"{found.mean_length:.1f} steps")
        told = found.success_rate is not None
        rows[3][1].append("" if not told else f"{target:.0%}: " + ("reached" if found.success_rate >= target  # type: ignore
                                                                    else "NOT reached"))
    return [row for row in rows if any(row[1])]


def columns(rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Lines of a table: a name, and a cell for each domain."""
    first = max(len(name) for name, _ in rows)
    widths = [max(map(len, column)) for column in zip(*(cells for _, cells in rows), strict=True)]
    return ["  " + GAP.join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))]
                            ).rstrip() for name, cells in rows]
