"""A joint run that goes on: what a checkpoint holds of it beside the model, and how all of it is put back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from uniros_learner.training.checkpoint import Checkpoint
from uniros_learner.training.episodes import read_as
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.joint.experience import DomainEpisode
from uniros_learner.training.joint.plots import Mark
from uniros_learner.training.joint.setup import Setup


def what_it_takes(setup: Setup, seconds: float, marks: Sequence[Mark]) -> dict[str, Any]:
    """For `checkpoint.write`. seconds: of training so far."""
    domains = {domain.name: domain.counters() for domain in setup.domains}
    return {"seconds": seconds, "marks": marks, "loop": setup.loop.state(), "domains": domains}


def go_on(setup: Setup, checkpoint: Checkpoint, metrics: Path) -> tuple[float, list[Mark]]:
    """Put everything back; returns what `what_it_takes` was told.

    metrics: the run's episodes, of which those count that the checkpoint knows of. Raises InvalidConfig when the
    checkpoint is of another kind of run.
    """
    counters = checkpoint.about.get("domains", {})
    here, there = [domain.name for domain in setup.domains], list(counters)
    if here != there:
        raise InvalidConfig(f"that run learnt in {' and '.join(there) or 'one environment'}, which is not the "
                            f"{' and '.join(here)} that are here: leave out --env and --master, or give the same")
    checkpoint.put_into(setup.model)
    checkpoint.put_moment(setup.model)
    episodes = read_as(DomainEpisode, metrics)
    for domain in setup.domains:
        known = counters[domain.name]
        mine = [each for each in episodes if each.domain == domain.name and each.step <= known["learnt"]]
        domain.go_on_from(known, mine)
    setup.loop.go_on_from(checkpoint.about["loop"])
    return checkpoint.about["seconds"], [Mark(*each) for each in checkpoint.about["marks"]]
