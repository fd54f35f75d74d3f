"""The loop that does not wait: actors go through episodes at each domain's own pace while the policy is updated."""

from __future__ import annotations

import copy
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFrequencyUnit

from uniros_learner.multi_task_member import State
from uniros_learner.training.actor import actor_of
from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.joint.actor import Actor, Inbox
from uniros_learner.training.joint.board import Board
from uniros_learner.training.joint.domain import Domain
from uniros_learner.training.joint.exam import Exam
from uniros_learner.training.joint.explore import exploration_of
from uniros_learner.training.joint.ledger import Ledger
from uniros_learner.training.joint.loop import End, OnExam
from uniros_learner.training.joint.pace import Pace
from uniros_learner.training.joint.replay import MixedReplay
from uniros_msgs.errors import AllDown

UPDATES = 8  # at a time; then it looks at what has come
IDLE = 0.01  # s to wait where there is nothing to learn from
PATIENCE = 60.0  # s that all domains may be down
FAREWELL = 10.0  # s that an actor may take to end


class ActorsLoop:
    """Learns from what actors bring. `model.replay_buffer` becomes `replay`, of which this thread is the only user."""

    def __init__(self, config: TrainingConfig, model: OffPolicyAlgorithm, replay: MixedReplay,
                 domains: Sequence[Domain], relevant: Callable[[dict[str, Any]], Mapping[str, Any]],
                 turn_knobs: Callable[[], object] = lambda: None):
        """relevant: what of an info rewards may depend on. turn_knobs: called between updates."""
        self._config, self._model, self._replay, self._domains = config, model, replay, domains
        self._relevant, self._turn_knobs = relevant, turn_knobs
        self._inbox: Inbox = queue.SimpleQueue()
        self.board = Board()
        self.pace = Pace(config.joint, model.learning_starts, lambda: updates_per_step(model))
        model.replay_buffer = replay  # type: ignore[assignment]
        explorations = exploration_of(model, domains)
        most = config.joint.most_steps or [0] * len(domains)
        self._actors = [
            Actor(domain, self.board, self.pace, self._inbox, explorations[number], config.seed + number, most[number])
            for number, domain in enumerate(domains)
        ]
        self._exam: Exam | None = None
        self._examined: dict[str, Any] = {}  # the weights that sit it
        self._exams = 0
        self._down_since: float | None = None

    def state(self) -> dict[str, Any]:
        """See `Loop.state`."""
        return {"exams": self._exams, "policy": self.board.newest.number, "arms_may_move": self.pace.arms_may_move}

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """See `Loop.go_on_from`."""
        self._exams = state["exams"]
        self.board.go_on_after(state["policy"])
        self.pace.go_on_from(self._domains, self._model._n_updates, state["arms_may_move"])

    def learn(self, ledger: Ledger, stop: Callable[[], bool], shown: Callable[[], None], rested: Callable[[], None],
              on_exam: OnExam) -> End:
        """See `Loop.learn`."""
        self._publish()
        for actor in self._actors:
            actor.start()
        try:
            with standing_back(self._config.joint.niceness):
                while (end := self._end(ledger, stop)) is None:
                    self._take_in(ledger)
                    self._turn_knobs()
                    self.pace.arms_may_move = self.pace.arms_may_move or ledger.head_start_over()
                    if not self._update():
                        self.pace.wait(IDLE)
                    if time.monotonic() - self.board.newest.when >= self._config.joint.publish:
                        self._publish()
                    if self._judge(ledger, on_exam):
                        end = End.SOLVED
                        break
                    shown()
                    rested()
                    ledger.log(self._model.num_timesteps)
                return end
        finally:
            self._stop_acting()
            self._take_in(ledger)

    # --- a turn of it -------------------------------------------------------------------------------------------------

    def _take_in(self, ledger: Ledger) -> None:
        """Put what has come into the replay buffer."""
        with suppress(queue.Empty):
            while True:
                domain, experience = self._inbox.get_nowait()
                self._replay.add(domain.number, experience, self._relevant)
                ledger.take(domain, experience)
                self._model.num_timesteps += experience.length

    def _update(self) -> bool:
        """Some updates, unless there is too little to learn from."""
        count = min(UPDATES, self.pace.updates_due())
        if not count or not self._replay.ready:
            return False
        self._model.train(count, self._model.batch_size)
        self.pace.note_updates(count)
        return True

    def _publish(self) -> None:
        """Give the actors the policy as it is now."""
        self._model.policy.set_training_mode(False)
        self.board.post(actor_of(self._model, version=str(self.board.newest.number + 1)))

    def _end(self, ledger: Ledger, stop: Callable[[], bool]) -> End | None:
        """Why to end now. Raises what no actor can go on after, AllDown."""
        config, share = self._config, 1.0 - self._model.num_timesteps / self._config.steps
        self._model._current_progress_remaining = max(0.0, min(share, 1.0 - ledger.seconds / config.joint.seconds))
        for actor in self._actors:
            if actor.error:
                raise actor.error
        self._check_that_some_work()
        if stop():
            return End.STOPPED
        if share <= 0.0:
            return End.STEPS
        return End.TIME if ledger.seconds >= config.joint.seconds else None

    def _check_that_some_work(self) -> None:
        if any(domain.member.state is State.UP for domain in self._domains):
            self._down_since = None
        elif self._down_since is None:
            self._down_since = time.monotonic()
        elif time.monotonic() - self._down_since > PATIENCE:
            why = "; ".join(f"{domain.name}: {domain.member.status().error}" for domain in self._domains)
            raise AllDown(f"none of the {len(self._domains)} environments has worked for {PATIENCE:g} s: {why}")

    # --- whether it is good enough ------------------------------------------------------------------------------------

    def _judge(self, ledger: Ledger, on_exam: OnExam) -> bool:
        """Whether training may end. The policy is examined while the arms move and updates go on; when it passes,
        the model becomes again what was examined."""
        if self._exam is None:
            if ledger.convincing():
                self._begin_exam(ledger)
            return False
        if not self._exam.over:
            return False
        exam, self._exam = self._exam, None
        results = {domain: exam.results[domain.number] for domain in self._domains}
        passed = all(found and ledger.passed(domain, found) for domain, found in results.items())
        on_exam(results, passed)
        if passed:
            self._model.policy.load_state_dict(self._examined)
            return True
        for domain in self._domains:
            domain.recent.clear()
        return False

    def _begin_exam(self, ledger: Ledger) -> None:
        self._exams += 1
        self._examined = copy.deepcopy(self._model.policy.state_dict())
        seed = self._config.evaluation.seed + self._exams
        asked = {domain.number: ledger.check_episodes(domain) for domain in self._domains}
        self._exam = Exam(actor_of(self._model, version=f"check {self._exams}"), seed, asked=asked)
        for actor in self._actors:
            actor.sit(self._exam)

    def _stop_acting(self) -> None:
        enders = [threading.Thread(target=actor.end, daemon=True) for actor in self._actors]  # each may have to wait
        for ender in enders:
            ender.start()
        deadline = time.monotonic() + FAREWELL
        for actor in self._actors:
            actor.join(max(0.0, deadline - time.monotonic()))


def updates_per_step(model: OffPolicyAlgorithm) -> float:
    """As its own settings `gradient_steps` and `train_freq` have it."""
    freq: Any = model.train_freq
    if model.gradient_steps <= 0 or freq.unit is not TrainFrequencyUnit.STEP:
        return 1.0
    return model.gradient_steps / freq.frequency


@contextmanager
def standing_back(niceness: int) -> Iterator[None]:
    """Lower the priority of this thread alone, so that what must be in time goes first, and what it starts from here
    on. Where the system does not let it rise again, it stays low."""
    thread = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, min(19, before + niceness))
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, thread, before)
