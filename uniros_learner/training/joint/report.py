"""The table at the end of a joint run: a column for each domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from uniros_learner.training.episodes import Statistics, summarise
from uniros_learner.training.joint.domain import Domain
from uniros_learner.training.joint.experience import DomainEpisode
from uniros_learner.training.report import UNFINISHED, files

if TYPE_CHECKING:
    from uniros_learner.training.joint.run import JointRun

GAP = "   "
Rows = list[tuple[str, list[str]]]  # a name, and a cell for each domain


def rate(episodes: Sequence[DomainEpisode] | None) -> str:
    """How many of them succeed."""
    if episodes is None:
        return "down"
    success = summarise(episodes).success_rate
    return f"{success:.0%} of {len(episodes)}" if success is not None else f"{len(episodes)} episodes"


def summary(run: JointRun) -> str:
    """What a run achieved in each domain, and where its files are."""
    config = run.config
    head = [f"{config.algorithm.upper()} on {places(run)}, seed {config.seed}: {run.end.value}", f"  {outcome(run)}"]
    rows: Rows = [("", [domain.name for domain in run.domains]), *results(run)]
    return "\n".join([*head, *columns(rows)]) + "\n\n" + files(run.folder, unfinished=run.end.value in UNFINISHED)


def places(run: JointRun) -> str:
    """Where it learns."""
    return " and ".join(domain.env_id for domain in run.domains)


def outcome(run: JointRun) -> str:
    """How much it took."""
    seconds = max(run.seconds, 1e-9)
    return (f"training {run.seconds:.1f} s, {run.updates:,} updates ({run.updates / seconds:.0f}/s), "
            f"{run.steps:,} steps learnt from, loop: {run.config.joint.loop}")


def results(run: JointRun) -> Rows:
    """What came out of it in each domain."""
    return [*_training(run), *_evaluation(run)]


def figures(run: JointRun) -> dict[str, Any]:
    """The numbers of the training, for programs: seconds, updates, and by domain steps made, learnt from and dropped,
    episodes, failures, late cycles, jitter of commands (s; None in lock-step)."""
    domains = {
        domain.name: {
            "env_id": domain.env_id, "steps": domain.made, "learnt": domain.learnt, "dropped": domain.dropped,
            "episodes": len(domain.episodes), "failures": domain.member.status().failures, "late": domain.late,
            "jitter_p50": domain.jitter(0.5), "jitter_p99": domain.jitter(0.99),
        }
        for domain in run.domains
    }
    return {"end": run.end.value, "seconds": run.seconds, "updates": run.updates, "steps": run.steps,
            "domains": domains}


def _training(run: JointRun) -> Rows:
    each: dict[str, Callable[[Domain], str]] = {
        "steps": lambda domain: f"{domain.made:,}",
        "episodes": lambda domain: f"{len(domain.episodes):,}",
        "steps dropped": lambda domain: f"{domain.dropped:,}",
        "failures": lambda domain: f"{domain.member.status().failures}",
        "late cycles": lambda domain: "" if domain.lock_step else f"{domain.late}",
        "command jitter": _jitter,
    }
    return _rows({name: [show(domain) for domain in run.domains] for name, show in each.items()})


def _jitter(domain: Domain) -> str:
    p50, p99 = domain.jitter(0.5), domain.jitter(0.99)
    return "" if p50 is None or p99 is None else f"p50 {1e3 * p50:.1f}, p99 {1e3 * p99:.1f} ms"


def _evaluation(run: JointRun) -> Rows:
    if not run.evaluation:
        return [("evaluation", ["none"] * len(run.domains))]
    found = [summarise(run.evaluation[domain]) for domain in run.domains]
    return _rows({
        "success": [rate(run.evaluation[domain] or None) for domain in run.domains],
        "95% interval": [_interval(each) for each in found],
        "final error": [_error(each) for each in found],
        "episode length": ["" if each.mean_length is None else f"{each.mean_length:.1f} steps" for each in found],
        "target": [_verdict(each, run.config.evaluation.target) for each in found],
    })


def _interval(found: Statistics) -> str:
    return "" if found.success_low is None else f"{found.success_low:.0%} to {found.success_high:.0%}"


def _error(found: Statistics) -> str:
    if found.mean_error is None or found.p95_error is None:
        return ""
    return f"{1e3 * found.mean_error:.1f} mm, p95 {1e3 * found.p95_error:.1f}"


def _verdict(found: Statistics, target: float) -> str:
    if found.success_rate is None:
        return ""
    return f"{target:.0%}: " + ("reached" if found.success_rate >= target else "NOT reached")


def _rows(cells: Mapping[str, list[str]]) -> Rows:
    """Without those that there is nothing to say in."""
    return [(name, row) for name, row in cells.items() if any(row)]


def columns(rows: Rows) -> list[str]:
    """Lines of a table: a name, and a cell for each domain."""
    first = max(len(name) for name, _ in rows)
    widths = [max(map(len, column)) for column in zip(*(cells for _, cells in rows), strict=True)]
    return ["  " + GAP.join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))]
                            ).rstrip() for name, cells in rows]
