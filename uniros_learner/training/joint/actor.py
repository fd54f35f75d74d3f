"""An actor: goes through episodes in one domain, one rollout after another, with the newest policy beside the robot.

Nothing here waits for updates between an observation and its action: the env server acts by itself.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np

from uniros_learner.multi_task_member import State
from uniros_learner.rollout import Rollout
from uniros_learner.training.joint.board import Board, Posted
from uniros_learner.training.joint.domain import Doing, Domain
from uniros_learner.training.joint.exam import Exam, examine
from uniros_learner.training.joint.experience import Assembly, Experience
from uniros_learner.training.joint.pace import AHEAD, Pace
from uniros_msgs.errors import Cancelled, InvalidPolicy, ResetNeeded, UnirosError
from uniros_msgs.exploration import Exploration

POLL = 0.05  # s between two looks at whether to go on
FAR_AHEAD = 4 * AHEAD  # steps after which a simulation's rollout is cut short
Inbox = queue.SimpleQueue[tuple[Domain, Experience]]


class Actor:
    """Acts in a thread from `start` to `end`, and puts whole episodes into `inbox`.

    Of an episode that breaks nothing gets there; the domain then comes back by itself (`Member`), and the actor goes
    on. In real time another thread brings each new policy to the rollout under way, to act from its next step on.
    """

    def __init__(self, domain: Domain, board: Board, pace: Pace, inbox: Inbox, exploration: Callable[[], Exploration],
                 seed: int, most_steps: int = 0):
        """exploration: as it is now, with the random actions at the beginning of training. most_steps: 0 for no bound.
        """
        self.domain = domain
        self.error: Exception | None = None  # what nothing can be done about
        self._board, self._pace, self._inbox = board, pace, inbox
        self._exploration, self._seed_of_all = exploration, seed
        self._most_steps = most_steps
        self._assembly = Assembly()
        self._exam: Exam | None = None
        self._ending = threading.Event()
        self._rollout: Rollout | None = None
        self._seed_due = True  # a new environment has not been seeded
        self._thread = threading.Thread(target=self._run, name=f"act in {domain.name}", daemon=True)

    # --- for the learner ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, or go on from the domain's counters, with numbers not drawn before.

        A thread inherits its priority from the one that starts it.
        """
        self._seeds = np.random.SeedSequence([self._seed_of_all, self.domain.made])
        self._assembly.dropped = self.domain.dropped
        self._thread.start()

    def sit(self, exam: Exam) -> None:
        """Have the domain judge a policy, after the episode that goes on; acting goes on afterwards."""
        self._exam = exam

    def end(self) -> None:
        """Ask for the end; the robot holds within a cycle."""
        self._ending.set()
        if rollout := self._rollout:
            with suppress(UnirosError):  # the thread that iterates learns why
                rollout.cancel()

    def join(self, timeout: float) -> bool:
        """Whether it has ended within `timeout` (s)."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # --- its thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._go_on()
            except InvalidPolicy as error:
                self.error = error
                break
            except Cancelled:  # by ourselves, or by somebody who wants the arm to hold now
                self._drop()
            except UnirosError as error:
                if not self._ending.is_set():  # then it has been cancelled
                    self._broken(error)
            except Exception as error:  # noqa: BLE001 - the learner raises it
                self.error = error
                break
        self._drop()
        self.domain.doing = Doing.DONE

    def _go_on(self) -> None:
        """One rollout, or one look at whether there may be one."""
        domain = self.domain
        if domain.member.state is not State.UP:
            domain.doing = Doing.DOWN
            self._ending.wait(POLL)
        elif self._exam:
            domain.doing = Doing.EXAMINED
            self._be_examined(self._exam)
        elif not self._may_act():
            domain.doing = self._why_not()
            self._pace.wait(POLL)
        else:
            domain.doing = Doing.ACTING
            self._act()

    def _may_act(self) -> bool:
        if self._spent():
            return False
        if self.domain.lock_step:
            return self._pace.simulation_may_go_on(self.domain.number)
        return self._pace.arms_may_move

    def _why_not(self) -> Doing:
        if self._spent():
            return Doing.SPENT
        return Doing.WAITING if self.domain.lock_step else Doing.AWAITS_SIMULATION

    def _spent(self) -> bool:
        return bool(self._most_steps) and self.domain.made >= self._most_steps

    def _act(self) -> None:
        """A rollout: some episodes in lock-step, one in real time."""
        posted, begun = self._board.newest, self.domain.made
        with self.domain.env.rollout(posted.policy, episodes=self._few(), seed=self._seed(),
                                     exploration=self._explored()) as rollout, self._known(rollout, posted):
            for batch in rollout:
                self.domain.made += batch.count
                if whole := self._assembly.add(batch):
                    self._inbox.put((self.domain, whole))
                    self._pace.note_steps(whole.length, self.domain.lock_step)
                if self._spent() or (self.domain.lock_step and self.domain.made > begun + FAR_AHEAD):
                    rollout.cancel()
        self._drop()

    def _few(self) -> int:
        """Episodes that should make no more steps than a simulation may be ahead; one where each takes seconds."""
        longest = max((episode.length for episode in self.domain.recent.copy()), default=AHEAD)
        return max(1, AHEAD // longest) if self.domain.lock_step else 1

    def _be_examined(self, exam: Exam) -> None:
        number = self.domain.number
        try:
            episodes = examine(self.domain.env, exam.policy, exam.asked[number], exam.seed, self.domain.name,
                               begun=self._keep)
        except UnirosError:
            exam.results[number] = None
            raise
        finally:
            self._exam = self._rollout = None
        exam.results[number] = episodes if len(episodes) == exam.asked[number] else None

    def _explored(self) -> Exploration:
        """The exploration of the next rollout: what is left of the random actions, numbers of its own."""
        exploration = self._exploration()
        left = max(0, exploration.random_steps - self.domain.made)
        return replace(exploration, random_steps=left, seed=self._draw())

    def _seed(self) -> int | None:
        """Goals and starts are random, but those of this run."""
        due, self._seed_due = self._seed_due, False
        return self._draw() if due else None

    def _draw(self) -> int:
        return int(self._seeds.spawn(1)[0].generate_state(1)[0])

    def _drop(self) -> None:
        """No more comes of an episode that has begun."""
        self._assembly.drop()
        self.domain.dropped = self._assembly.dropped

    def _broken(self, error: UnirosError) -> None:
        self._drop()
        self._seed_due = True
        self.domain.member.fail(error)

    # --- the rollout under way ----------------------------------------------------------------------------------------

    def _keep(self, rollout: Rollout) -> None:
        """Others may cancel it from now on, or wanted to before."""
        self._rollout = rollout
        if self._ending.is_set():
            rollout.cancel()

    @contextmanager
    def _known(self, rollout: Rollout, posted: Posted) -> Iterator[None]:
        """While it goes on: others may cancel it, and in real time it gets each new policy."""
        self._acts(posted)
        self._keep(rollout)
        courier = None
        if not self.domain.lock_step:
            courier = threading.Thread(target=self._bring_policies, args=(rollout, posted.number),
                                       name=f"policies to {self.domain.name}", daemon=True)
            courier.start()
        try:
            yield
        finally:
            self._rollout = None
            if courier:
                courier.join()

    def _bring_policies(self, rollout: Rollout, number: int) -> None:
        while self._rollout is rollout and not rollout.over:
            if posted := self._board.newer(number, POLL):
                try:
                    rollout.swap(posted.policy, now=True)
                except ResetNeeded:  # it has just ended
                    return
                except InvalidPolicy as error:
                    self.error = error
                    return
                except UnirosError:  # the thread that iterates learns why
                    time.sleep(POLL)
                else:
                    number = posted.number
                    self._acts(posted)

    def _acts(self, posted: Posted) -> None:
        self.domain.policy, self.domain.policy_since = posted.number, posted.when
