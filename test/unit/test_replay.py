"""Back from the bag: trajectories as they were, and replay buffers as Stable-Baselines3 itself would have filled them.
"""

import io
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import PPO, TD3
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from uniros_env_server import registration
from uniros_env_server.recorder.intake import Message
from uniros_env_server.recorder.settings import Settings
from uniros_env_server.recorder.tally import Tally
from uniros_env_server.recorder.writer import Writer
from uniros_env_server.serving.describe import describe, to_message
from uniros_env_server.serving.journal import Journal
from uniros_learner.replay import fill, trajectories, warm_start
from uniros_learner.replay.command import run as replay
from uniros_learner.replay.convert import load_buffer
from uniros_learner.replay.offline import BagsFirst
from uniros_learner.training import train_command
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.terminal import Terminal
from uniros_msgs import wire
from uniros_msgs.errors import MalformedData
from uniros_msgs.msg import Description, TransitionBatch
from uniros_msgs.transitions import head

ROOT = Path(__file__).resolve().parents[2]
NS = "/arm"


class Count(gymnasium.Env):
    """The observation counts the steps of this and all earlier episodes; episodes take `length` steps."""

    action_space = spaces.Box(-2.0, 2.0, (1,), np.float32)
    spec = None

    def __init__(self, length=5, goal=False, late=False, first=0):
        self.length, self.late, self.total, self.goal = length, late, first, goal
        number = spaces.Box(-1e6, 1e6, (2,), np.float32)
        self.observation_space = spaces.Dict(
            dict.fromkeys(("observation", "achieved_goal", "desired_goal"), number)) if goal else number

    def _see(self):
        seen = np.array([self.total, self.step_number], np.float32)
        return {"observation": seen, "achieved_goal": seen + 0.5, "desired_goal": np.zeros(2, np.float32)
                } if self.goal else seen

    def reset(self, *, seed=None, options=None):
        self.step_number = 0
        return self._see(), {}

    def step(self, action):
        self.step_number += 1
        self.total += 1
        over = self.step_number >= self.length
        return (self._see(), float(action[0]), over and not self.late, over and self.late,
                {"is_success": over, "executed_action": np.asarray(action) / 2})

    def compute_reward(self, achieved, desired, info):
        return -np.abs(achieved - desired).sum(axis=-1)


class Tape:
    """Steps an environment, in the way of a server, and records it."""

    def __init__(self, env, folder, **settings):
        self.env = env
        self.description = describe(env, "Count-v0")
        self.num = getattr(env, "num_envs", 0)
        self.writer = Writer(Settings(folder, min_free=0.0, **settings), Tally())
        announcement = to_message(self.description, "sim")
        self._keep(f"{NS}/env/description", Description, _serialized(announcement))
        self.journal = Journal("Count-v0", self.description.spec_hash, "sim", self.num, lambda: True, self._batch)
        self.episode = 0
        self.rng = np.random.default_rng(0)

    def _batch(self, body):
        self._keep(f"{NS}/env/transitions", TransitionBatch, body, head(body))

    def _keep(self, topic, kind, body, about=None):
        self.writer.record([Message(topic, kind, body, time.time(), about)])

    def reset(self):
        self.episode += 1
        observation, info = self.env.reset()
        self.journal.begin(self.episode, [self.episode], None, observation, info, wire.Stamps())

    def steps(self, count, size=1, bound=2.0):
        """The actions taken."""
        shape = (self.num, size) if self.num else (size,)
        actions = self.rng.uniform(-bound, bound, (count, *shape)).astype(np.float32)
        for action in actions:
            observation, reward, terminated, truncated, info = self.env.step(action)
            self.journal.add(action, observation, reward, terminated, truncated, info, wire.Stamps())
            if not self.num and (terminated or truncated):
                self.reset()
        return actions

    def end(self):
        self.journal.close("abandoned")
        self.writer.finish()


def _serialized(message):
    buffer = io.BytesIO()
    message.serialize(buffer)
    return buffer.getvalue()


def sb3_buffer(kind, like, size=200, n_envs=1, **kwargs):
    return kind(size, like.observation_space, like.action_space, device="cpu", n_envs=n_envs, **kwargs)


def as_sb3_fills(kind, env_maker, actions, size):
    """What a model of Stable-Baselines3 has in its buffer after these actions."""
    venv = DummyVecEnv([env_maker])
    buffer = sb3_buffer(kind, env_maker(), size, **({"env": venv} if kind is HerReplayBuffer else {}))
    before = venv.reset()
    space = venv.action_space
    for action in actions:
        after, reward, done, infos = venv.step(action[None])
        last = {key: value.copy() for key, value in after.items()} if isinstance(after, dict) else after.copy()
        if done[0]:
            final = infos[0]["terminal_observation"]
            last = {key: np.asarray(final[key])[None] for key in final} if isinstance(final, dict) else final[None]
        scaled = 2.0 * ((action[None] - space.low) / (space.high - space.low)) - 1.0
        buffer.add(before, last, scaled, reward, done, infos)
        before = after
    return buffer


def assert_equal(found, expected, rows):
    for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts", "ep_start",
                 "ep_length"):
        ours, theirs = getattr(found, name, None), getattr(expected, name, None)
        for key in ours if isinstance(ours, dict) else [None]:
            one, other = (ours, theirs) if key is None else (ours[key], theirs[key])
            if one is not None:
                np.testing.assert_array_equal(one[rows], other[rows], err_msg=f"{name} {key}")
    assert (found.pos, found.full) == (expected.pos, expected.full)


@pytest.mark.parametrize("late", [False, True], ids=["terminated", "truncated"])
@pytest.mark.parametrize(("kind", "goal"), [(ReplayBuffer, False), (DictReplayBuffer, True), (HerReplayBuffer, True)])
@pytest.mark.parametrize("count", [60, 130])  # 130: more than the buffer of 80 holds
def test_a_buffer_is_what_sb3_fills(tmp_path, kind, goal, late, count):
    tape = Tape(Count(goal=goal, late=late), tmp_path)
    tape.reset()
    actions = tape.steps(count)
    tape.end()
    expected = as_sb3_fills(kind, lambda: Count(goal=goal, late=late), actions, size=80)
    venv = {"env": DummyVecEnv([lambda: Count(goal=True)])} if kind is HerReplayBuffer else {}
    found = sb3_buffer(kind, tape.env, 80, **venv)
    assert fill(found, tmp_path) == min(count, 80)
    if count < 80:
        assert_equal(found, expected, slice(0, count))
    else:  # ours begins with the newest 80
        order = (np.arange(80) + found.pos) % 80, (np.arange(80) + expected.pos) % 80
        for name in ("observations", "actions", "rewards", "dones", "timeouts"):
            ours, theirs = getattr(found, name), getattr(expected, name)
            ours, theirs = (ours["observation"], theirs["observation"]) if isinstance(ours, dict) else (ours, theirs)
            np.testing.assert_array_equal(ours[order[0]], theirs[order[1]])
    if kind is HerReplayBuffer:
        sample = found.sample(64)
        assert (np.abs(sample.rewards.numpy()[:48, 0]) < 20).all()  # achieved and future goals lie close together


def test_what_is_added_later_forgets_what_it_overwrites(tmp_path):
    tape = Tape(Count(goal=True), tmp_path)
    tape.reset()
    tape.steps(50)
    tape.end()
    buffer = sb3_buffer(HerReplayBuffer, tape.env, 60, env=DummyVecEnv([lambda: Count(goal=True)]))
    assert fill(buffer, tmp_path) == 50
    assert (buffer.ep_length[:50] == 5).all() and not buffer.ep_length[50:].any()
    whole = list(trajectories(tmp_path))
    assert fill(buffer, whole[:3]) == 15  # to 60, and over the first five
    assert (buffer.pos, buffer.full) == (5, True)
    assert fill(buffer, [whole[3]]) == 5
    assert fill(buffer, [_part_of(whole[4], 3)]) == 3
    assert buffer.ep_length[:, 0].tolist() == [5] * 10 + [3] * 3 + [0] * 2 + [5] * 45


def _part_of(trajectory, count):
    from dataclasses import replace

    return replace(trajectory, parts=[replace(trajectory.parts[0], stop=trajectory.parts[0].start + count)])


@pytest.mark.parametrize("mode", list(AutoresetMode)[:2])
@pytest.mark.parametrize("goal", [False, True], ids=["flat", "goal"])
def test_a_batch_of_environments_comes_back_row_by_row(tmp_path, mode, goal):
    lengths = (3, 4, 7)
    batch = SyncVectorEnv([lambda n=n, i=i: Count(length=n, goal=goal, first=1000 * i) for i, n in enumerate(lengths)],
                          autoreset_mode=mode)
    tape = Tape(batch, tmp_path)
    tape.reset()
    tape.steps(90)
    tape.end()
    found = list(trajectories(tmp_path))
    for row, length in enumerate(lengths):
        mine = [trajectory for trajectory in found if trajectory.parts[0].row == row]
        assert all(len(each) == length and each.whole and each.success for each in mine[:-1])
        part = (lambda value: value["observation"]) if goal else (lambda value: value)
        seen = np.concatenate([part(each.observation) for each in mine])
        came = np.concatenate([part(each.next_observation) for each in mine])
        assert (came - seen == 1).all()  # none of them is a reset
        assert seen[:, 0].tolist() == [1000.0 * row + n for n in range(len(seen))]
        resets = len(mine) - 1 if mode is AutoresetMode.NEXT_STEP else 0
        assert 0 <= 90 - len(seen) - resets <= 1
    kind = DictReplayBuffer if goal else ReplayBuffer
    buffer = sb3_buffer(kind, Count(goal=goal), 300, n_envs=3)
    count = fill(buffer, tmp_path)
    assert count % 3 == 0 and sum(map(len, found)) - count < 3 * 14
    assert buffer.pos == count // 3
    observed = buffer.observations["observation"] if goal else buffer.observations
    after = buffer.next_observations["observation"] if goal else buffer.next_observations
    assert (after[: buffer.pos, :, 1] - observed[: buffer.pos, :, 1] == 1).all()


@pytest.mark.parametrize("mode", list(AutoresetMode)[:2])
@pytest.mark.parametrize("env_id", ["RX200ReachSim-v0", "RX200ReachGoalSim-v0"])
def test_arms_of_a_batch_come_back_with_the_observation_each_reward_is_for(tmp_path, mode, env_id):
    registration.register()
    arms = gymnasium.make_vec(env_id, 3, autoreset_mode=mode, tolerance=0.08, reward_type="dense", max_episode_steps=40)
    tape = Tape(arms, tmp_path)
    tape.rng = np.random.default_rng(5)
    tape.reset()
    tape.steps(120, size=5, bound=1.0)
    tape.end()
    found = list(trajectories(tmp_path))
    ends = [(each.terminated[-1], each.truncated[-1]) for each in found if each.whole]
    assert (True, False) in ends and (False, True) in ends
    for each in found:
        table = each.parts_of_observation()
        np.testing.assert_allclose(each.reward, -table["distance"][1:], atol=1e-6)
        assert each.success == bool(each.terminated[-1]) == bool(table["distance"][-1] <= 0.08)
        assert (table["distance"][1:-1] > 0.08).all()
        if each.begun:
            np.testing.assert_allclose([table[f"tool_{axis}"][0] for axis in "xyz"], [0.2, 0.0, 0.22], atol=0.02)


def test_failed_episodes_are_left_out_and_gaps_told(tmp_path):
    tape = Tape(Count(length=10), tmp_path)
    tape.reset()
    tape.steps(13)
    tape.journal.fail()
    tape.reset()
    tape.steps(4)
    tape.journal.sequence += 7  # transitions that never came
    tape.journal.begin(9, [], None, *tape.env.reset(), wire.Stamps())
    tape.steps(2)
    tape.end()
    gaps = []
    ends = [(len(each), each.end) for each in trajectories(tmp_path, on_gap=lambda *gap: gaps.append(gap))]
    assert ends == [(10, "done"), (4, "abandoned"), (2, "abandoned")]
    assert gaps == [(NS, 7)]
    assert [len(each) for each in trajectories(tmp_path, failed=True)] == [10, 3, 4, 2]


def test_executed_actions_may_be_learnt_from_instead(tmp_path):
    tape = Tape(Count(), tmp_path)
    tape.reset()
    actions = tape.steps(20)
    tape.end()
    buffer = sb3_buffer(ReplayBuffer, tape.env)
    fill(buffer, tmp_path, actions="executed")
    np.testing.assert_allclose(buffer.actions[:20, 0], actions / 4, atol=1e-6)
    with pytest.raises(ValueError, match="requested, executed"):
        fill(buffer, tmp_path, actions="wanted")


def test_what_does_not_fit_is_refused(tmp_path):
    tape = Tape(Count(), tmp_path)
    tape.reset()
    tape.steps(10)
    tape.end()
    with pytest.raises(MalformedData, match="other observations"):
        fill(sb3_buffer(DictReplayBuffer, Count(goal=True)), tmp_path)
    with pytest.raises(ValueError, match="optimize_memory_usage"):
        fill(sb3_buffer(ReplayBuffer, Count(), optimize_memory_usage=True, handle_timeout_termination=False), tmp_path)
    with pytest.raises(FileNotFoundError, match="no bag"):
        fill(sb3_buffer(ReplayBuffer, Count()), tmp_path / "elsewhere.bag")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no bag"):
        list(trajectories(tmp_path / "empty"))


def test_a_model_learns_from_bags_alone(tmp_path):
    tape = Tape(Count(), tmp_path)
    tape.reset()
    tape.steps(100)
    tape.end()
    model = TD3("MlpPolicy", Count(), batch_size=16, policy_kwargs={"net_arch": [8]}, device="cpu", seed=0,
                buffer_size=200)
    before = [parameter.clone() for parameter in model.actor.parameters()]
    told = []
    assert warm_start(model, tmp_path, updates=120, progress=told.append) == 100
    assert told == [50, 100, 120] and model._n_updates == 120
    assert any((one != other).any() for one, other in zip(before, model.actor.parameters(), strict=True))
    said = io.StringIO()
    first = BagsFirst([tmp_path], 30, Terminal(said))
    first.learn(model, 10, [], first=True)  # and goes on from there
    assert said.getvalue() == "100 transitions from bags, 150 updates before the first step\n"
    assert (model.replay_buffer.full, model.replay_buffer.pos) == (True, 10)
    with pytest.raises(InvalidConfig, match="no bag"):
        BagsFirst([tmp_path / "nowhere"], None, Terminal(said)).learn(model, 10, [], first=True)
    with pytest.raises(InvalidConfig, match="PPO learns from its own steps"):
        ppo = PPO("MlpPolicy", Count(), n_steps=8, batch_size=8, device="cpu")
        BagsFirst([tmp_path], None, Terminal(said)).learn(ppo, 10, [], first=True)


@pytest.mark.parametrize(("words", "told"), [
    (["--from-bag", "nowhere.bag"], "there is no bag or folder nowhere.bag"),
    (["--from-bag", ".", "--resume", "run"], "leave out --from-bag"),
    (["--from-bag", ".", "--env", "A-v0", "--env", "B-v0"], "in one environment"),
])
def test_bags_that_cannot_begin_a_run_are_refused_before_anything_starts(words, told):
    options = train_command.parser().parse_args(words)
    with pytest.raises(InvalidConfig, match=told):
        train_command.bags_of(options, places=len(options.env_id or [1]))


def record(folder, steps=43, **kwargs):
    folder.mkdir(exist_ok=True)
    tape = Tape(Count(**kwargs), folder)
    tape.reset()
    tape.steps(steps)
    tape.end()
    return tape


def shown(*arguments):
    said = io.StringIO()
    assert replay(["replay", *map(str, arguments)], Terminal(said)) == 0
    return said.getvalue()


def test_a_bag_in_a_table_and_in_pictures(tmp_path):
    record(tmp_path / "bags")
    text = shown(tmp_path / "bags", "--plots", tmp_path / "plots")
    lines = dict(line.strip().split(None, 1) for line in text.split("\n\n")[0].splitlines()[1:])
    assert text.startswith("/arm: Count-v0, sim, plain\n")
    assert lines["recorded"].startswith("43 transitions")
    assert (lines["episodes"], lines["success"], lines["gaps"]) == ("8 whole, 1 abandoned", "100% of 8", "none")
    assert lines["length"] == "5 on average, 5 to 5 steps"
    pictures = sorted((tmp_path / "plots").iterdir())
    assert [path.name for path in pictures] == ["arm-episodes.png", "arm-traces.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000 for path in pictures)
    with pytest.raises(InvalidConfig, match="in leg"):
        shown(tmp_path / "bags", "--ns", "leg")
    with pytest.raises(InvalidConfig, match="no bag"):
        shown(tmp_path / "nowhere.bag")


@pytest.mark.parametrize("goal", [False, True], ids=["flat", "goal"])
def test_arrays_in_a_file_make_the_same_buffer(tmp_path, goal):
    tape = record(tmp_path, goal=goal)
    assert "43 transitions in" in shown(tmp_path, "--no-plots", "--to-buffer", tmp_path / "data.npz")
    loaded = load_buffer(tmp_path / "data.npz", device="cpu")
    filled = sb3_buffer(DictReplayBuffer if goal else ReplayBuffer, tape.env, 43)
    assert fill(filled, tmp_path) == 43
    assert_equal(loaded, filled, slice(None))
    (tmp_path / "other.npz").write_bytes(b"PK nothing of ours")
    with pytest.raises(MalformedData, match="--to-buffer"):
        load_buffer(tmp_path / "other.npz")


def test_a_minari_dataset(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    record(tmp_path / "bags", goal=True)
    said = shown(tmp_path / "bags", "--no-plots", "--to-minari", "count/try-v0")
    assert "43 transitions in the Minari dataset" in said
    episodes = list(minari.load_dataset("count/try-v0").iterate_episodes())
    recorded = list(trajectories(tmp_path / "bags"))
    assert [len(episode.rewards) for episode in episodes] == [len(each) for each in recorded] == [5] * 8 + [3]
    for episode, each in zip(episodes, recorded, strict=True):
        np.testing.assert_array_equal(episode.actions, each.action)
        np.testing.assert_array_equal(episode.observations["observation"][1:], each.next_observation["observation"])
        np.testing.assert_array_equal(episode.rewards, each.reward)
        assert episode.terminations[-1] or episode.truncations[-1]


def test_reading_needs_no_ros(tmp_path):
    tape = Tape(Count(), tmp_path)
    tape.reset()
    tape.steps(20)
    tape.end()
    script = """
import sys
from uniros_learner.replay import trajectories
found = list(trajectories(sys.argv[1]))
print(sum(map(len, found)), found[0].description.env_id, found[0].observation.shape)
there = [name for name in sys.modules if name.split(".")[0] in ("rospy", "rosbag", "genpy", "roslib", "std_msgs")]
assert not there and "uniros_msgs.msg" not in sys.modules and "torch" not in sys.modules, there
try:
    import rospy
except ImportError:
    print("no ROS here")
from uniros_learner.replay.command import run
from uniros_learner.training.terminal import Terminal
run(["replay", sys.argv[1], "--no-plots", "--to-buffer", "data.npz"], Terminal())
"""
    site = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    path = ":".join(map(str, (ROOT / "uniros_msgs" / "src", ROOT, site)))
    said = subprocess.run([sys.executable, "-S", "-c", script, tmp_path], capture_output=True, text=True,
                           cwd=tmp_path, env={"PYTHONPATH": path, "PATH": "/usr/bin"})
    assert said.stdout.split("\n")[:2] == ["20 Count-v0 (5, 2)", "no ROS here"], said.stderr
    assert "20 transitions in data.npz" in said.stdout, said.stderr
