"""What the status command makes of what it has heard."""

from __future__ import annotations

from typing import Any

from uniros_bringup.status import address, healthy
from uniros_bringup.status_table import WIDTH, table
from uniros_bringup.watch import Part, View

SERVER, DRIVER = "/rx200/env_server", "/rx200/rx200_driver"


def environment(level: int = 0, text: str = "in order", node: str = SERVER, **values: Any) -> Part:
    given = {"env": "RX200ReachSim-v0", "domain": "sim", "mode": "lock_step", "environments": "1", "episode": "87",
             "lease": "root@host, process 4711 (train)", "steps": "9120", "steps/s": "1812.4"} | values
    return Part(node, "environment", level, text, given)


def sim(*parts: Part, **others: Any) -> View:
    return View("http://127.0.0.1:40001", parts=(environment(), *parts), **others)


def real(*parts: Part) -> View:
    server = environment(env="RX200ReachReal-v0", domain="real", mode="real_time", steps="212", **{"steps/s": "9.96"})
    return View("http://127.0.0.1:40002", parts=(server, *parts))


def test_two_masters_in_one_table() -> None:
    assert table([sim(), real()]) == [
        "sim   http://127.0.0.1:40001",
        "real  http://127.0.0.1:40002",
        "",
        "environment        on    held by       steps/s  episode  steps",
        "RX200ReachSim-v0   sim   train (4711)    1,812       87  9,120",
        "RX200ReachReal-v0  real  train (4711)     10.0       87    212",
        "",
        "sim    /rx200/env_server       ok     lock-step",
        "real   /rx200/env_server       ok     real-time",
    ]


def test_masters_that_nothing_else_tells_apart_go_by_their_ports() -> None:
    assert [line.split()[0] for line in table([sim(), View("http://127.0.0.1:40009", "no ROS master answers")])[:2]] \
        == [":40001", ":40009"]


def test_the_worst_comes_first_and_long_stories_are_cut() -> None:
    servos = [Part(DRIVER, f"servo {number}", 2, "stopped by its bus watchdog") for number in range(2, 8)]
    parts = [Part(DRIVER, "bus", 1, "9 lost answers"), Part(DRIVER, "driver", 2, "fault: " + 50 * "the bus is gone "),
             *servos]
    text = " ".join(" ".join(table([real(*parts)])).split())
    assert "ERROR driver: fault: the bus is gone" in text and "... (and 7 more)" in text and "9 lost" not in text


def test_nothing_is_wider_than_a_terminal() -> None:
    long = environment(1, 30 * "long ", "/a/very/deep/namespace/of/an/env_server", env="module.of.mine:Environment",
                       lease="somebody who writes a whole sentence about herself", environments="64")
    lines = table([sim(long, silent=("/other/env_server",)), real(), View("http://h:1", "no ROS master answers")])
    assert max(map(len, lines)) <= WIDTH
    assert any("/other/env_server" in line and "nothing on /diagnostics" in line for line in lines)


def test_what_counts_as_healthy() -> None:
    assert healthy([sim(environment(1, "a warning"))])
    assert not healthy([sim(Part(DRIVER, "bus", 2, "no answer"))])
    assert not healthy([sim(silent=(SERVER,))]) and not healthy([View("http://h:1", "no ROS master answers")])


def test_addresses_as_people_write_them() -> None:
    assert [address(text) for text in ("11411", "robot:11311", "http://robot:11311/")] == [
        "http://localhost:11411", "http://robot:11311", "http://robot:11311"]
