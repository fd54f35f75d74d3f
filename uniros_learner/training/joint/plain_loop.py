"""The plain loop: `MultiTaskEnv` and Stable-Baselines3's own steps and updates in turn, an episode here, one there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from uniros_learner.training.actor import actor_of
from uniros_learner.training.callbacks import STEP
from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.episodes import Episode
from uniros_learner.training.joint.domain import Doing, Domain
from uniros_learner.training.joint.exam import sit_in_all
from uniros_learner.training.joint.experience import DomainEpisode
from uniros_learner.training.joint.ledger import Ledger
from uniros_learner.training.joint.loop import End, OnExam
from uniros_learner.training.seeding import derive
from uniros_learner.whole_episodes import AwaitFirstEpisode

LOG_INTERVAL = 10_000_000  # episodes between Stable-Baselines3's own points in TensorBoard: the ledger's are enough


class PlainLoop:
    """`venv` holds a `MultiTaskEnv`, `model` a buffer of whole episodes (`uniros_learner.whole_episodes`)."""

    def __init__(self, config: TrainingConfig, model: OffPolicyAlgorithm, venv: VecEnv, domains: Sequence[Domain]):
        self._config, self._model, self._venv, self._domains = config, model, venv, domains
        self._exams = 0

    def state(self) -> dict[str, Any]:
        """See `Loop.state`."""
        return {"exams": self._exams}

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """See `Loop.go_on_from`."""
        self._exams = state["exams"]
        self._venv.seed(derive(self._config.seed, self._model.num_timesteps))  # other goals than those it has seen

    def learn(self, ledger: Ledger, stop: Callable[[], bool], shown: Callable[[], None], rested: Callable[[], None],
              on_exam: OnExam) -> End:
        """See `Loop.learn`. Raises AllDown."""
        note = _Note(self._domains, ledger, self._end(ledger, stop), shown, rested)
        while True:
            left = self._config.steps - self._model.num_timesteps
            callbacks = CallbackList([AwaitFirstEpisode(), note])
            self._model.learn(left, callbacks, LOG_INTERVAL, reset_num_timesteps=self._model.num_timesteps == 0)
            if end := self._end(ledger, stop)():
                return end
            if ledger.convincing() and self._check(ledger, stop, on_exam):
                return End.SOLVED

    def _end(self, ledger: Ledger, stop: Callable[[], bool]) -> Callable[[], End | None]:
        """Why to end now."""
        config, model = self._config, self._model
        most = config.joint.most_steps or (0,) * len(self._domains)

        def why() -> End | None:
            if stop():
                return End.STOPPED
            spent = any(bound and domain.made >= bound for domain, bound in zip(self._domains, most, strict=True))
            if model.num_timesteps >= config.steps or spent:
                return End.STEPS
            return End.TIME if ledger.seconds >= config.joint.seconds else None

        return why

    def _check(self, ledger: Ledger, stop: Callable[[], bool], on_exam: OnExam) -> bool:
        """Whether the policy also succeeds without exploration."""
        self._exams += 1
        policy = actor_of(self._model, version=f"check {self._exams}")
        asked = {domain: ledger.check_episodes(domain) for domain in self._domains}
        found = sit_in_all(asked, policy, self._config.evaluation.seed + self._exams, stop)
        passed = all(episodes and ledger.passed(domain, episodes) for domain, episodes in found.items())
        on_exam(found, passed)
        if passed:
            return True
        for domain in self._domains:
            domain.recent.clear()
        self._venv.seed(self._config.seed + self._exams)
        self._model._last_obs = None  # others have used the environments
        return False


class _Note(BaseCallback):
    """Counts what each domain does, and says when to leave `model.learn()`."""

    def __init__(self, domains: Sequence[Domain], ledger: Ledger, end: Callable[[], End | None],
                 shown: Callable[[], None], rested: Callable[[], None]):
        super().__init__()
        self._domains, self._ledger, self._end, self._shown = domains, ledger, end, shown
        self._rested = rested
        self._running = 0  # steps of the episode that goes on

    def _on_rollout_start(self) -> None:
        if not self._running:
            self._rested()

    def _on_step(self) -> bool:
        info, done = self.locals["infos"][0], bool(self.locals["dones"][0])
        domain = self._domains[info["task_id"]]
        for other in self._domains:
            other.doing = Doing.ACTING if other is domain else Doing.AWAITS_TURN
        domain.policy, domain.policy_since = getattr(self.model, "_n_updates", 0), time.monotonic()
        if info.get("broken"):
            domain.dropped += self._running
            self._running = 0
        else:
            domain.made += 1
            self._running += 1
            if done:
                self._whole(domain, info)
        self._shown()
        self._ledger.log(self.num_timesteps)
        if not (self._end() or (done and self._ledger.convincing())):
            return True
        model = self.model
        assert isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None
        model._store_transition(model.replay_buffer, *(self.locals[name] for name in STEP))  # which would be dropped
        return False

    def _whole(self, domain: Domain, info: dict) -> None:
        self._running = 0
        episode = Episode.from_info(info, domain.learnt + info["episode"]["l"], self._ledger.seconds)
        self._ledger.note(domain, DomainEpisode(**vars(episode), domain=domain.name, policy=str(domain.policy),
                                                late=int(info.get("overruns", 0))))


