"""Listening to the env servers of a master, those that come later included."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any

import rosgraph

from uniros_bringup.xmlrpc import CallFailed, call
from uniros_env_server.recorder.intake import Intake, Message
from uniros_env_server.recorder.tally import Tally
from uniros_msgs.errors import MalformedData
from uniros_msgs.msg import Description, TransitionBatch
from uniros_msgs.topics import Inlet
from uniros_msgs.transitions import head

log = logging.getLogger("rosout")
KINDS = {kind._type: kind for kind in (TransitionBatch, Description)}
PATIENCE = 8  # looks
TOPICS = {"env/transitions": TransitionBatch, "env/description": Description}  # of an env server, in its namespace


class Subscriptions:
    """What comes goes to the intake, and is counted."""

    def __init__(self, intake: Intake, tally: Tally, namespaces: tuple[str, ...] = ()) -> None:
        """namespaces: of the env servers to listen to, from their first step on; none: all there are on the master."""
        self._all = not namespaces
        self._intake, self._tally = intake, tally
        self._inlets: dict[str, Inlet] = {}
        self._heard: set[str] = set()  # topics that somebody publishes
        self._silent: Counter[str] = Counter()  # looks in a row at which a topic had a publisher, but not for us
        self.master_seen = time.monotonic()
        for namespace in namespaces:
            for name, kind in TOPICS.items():
                self._listen(f"/{namespace.strip('/')}/{name}", kind)

    def look(self) -> None:
        """Ask the master for env servers that we do not listen to yet, and tell who has come and gone."""
        heard = {topic for topic, inlet in self._inlets.items() if inlet.publishers()}
        for topic in sorted(topic for topic in heard ^ self._heard if topic.endswith("transitions")):
            log.info("%s: %s", topic, "an env server is heard" if topic in heard else "nobody is heard any more")
        self._heard = heard
        try:
            topics = call(rosgraph.get_master_uri(), "getPublishedTopics", "")
        except CallFailed:
            return
        self.master_seen = time.monotonic()
        for topic, kind in topics:
            if kind in KINDS and (self._all or topic in self._inlets):
                self._keep_listening(topic, KINDS[kind])

    def _keep_listening(self, topic: str, kind: Any) -> None:
        """Begin to listen; begin anew where a connection was lost, which rospy leaves at that."""
        self._silent[topic] = 0 if topic in self._heard else self._silent[topic] + 1
        if topic not in self._inlets:
            self._listen(topic, kind)
        elif self._silent[topic] > PATIENCE:
            self._silent[topic] = 0
            self._inlets[topic].close()
            self._listen(topic, kind)

    def publishers(self) -> int:
        """Env servers that we hear."""
        return sum(inlet.publishers() for topic, inlet in self._inlets.items() if topic.endswith("transitions"))

    def _listen(self, topic: str, kind: Any) -> None:
        receive = self._transitions if kind is TransitionBatch else self._description
        self._inlets[topic] = Inlet(topic, kind, lambda body, caller: receive(topic, body))

    def _transitions(self, topic: str, body: bytes) -> None:
        try:
            about = head(body)
        except MalformedData as error:
            log.warning("%s: %s", topic, error)
            return
        self._tally.came(topic, about)
        if not self._intake.put(Message(topic, TransitionBatch, body, time.time(), about)):
            self._tally.lose(topic, about.count, "dropped")

    def _description(self, topic: str, body: bytes) -> None:
        self._intake.put(Message(topic, Description, body, time.time()))
