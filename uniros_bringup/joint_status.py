"""One line for a person about one domain: how fast, how far, for whom and how well."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uniros_bringup.domain import Domain

HOLDER = re.compile(r".*, process (\d+) \((.*)\)$")  # how a learner of ours signs a lease


def status_lines(domains: Sequence[Domain]) -> list[str]:
    """As in `sim   RX200ReachSim-v0   1,812 steps/s  episode 87  step 12 (9,120 in all)  train (4711)  in order`."""
    width = max(len(domain.plan.env_id) for domain in domains)
    return ["  ".join([f"{domain.plan.name:<4}", f"{domain.plan.env_id:<{width}}", *_words(domain)])
            for domain in domains]


def _words(domain: Domain) -> list[str]:
    news = domain.news
    again = [f"brought up anew {domain.restarts}×"] if domain.restarts else []
    if domain.stage.value != "up":
        return [domain.stage.value, *again]
    if "steps" not in news:
        return [news.get("text", "up"), *again]
    far = f"step {news['step']:,} ({news['steps']:,} in all)" if news["steps"] else "no step yet"
    return [f"{_number(news['rate']):>6} steps/s", f"episode {news['episode']:,}", far, short_holder(news["holder"]),
            _health(news), *again]


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def short_holder(holder: str) -> str:
    """Program and process of a learner of ours; what others write as they write it."""
    found = HOLDER.match(holder)
    return f"{found.group(2)} ({found.group(1)})" if found else holder


def _health(news: dict[str, str]) -> str:
    return news["text"] if news["level"] == "ok" else f"{news['level'].upper()} {news['text']}"
