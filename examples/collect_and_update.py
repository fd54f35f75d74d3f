"""Training in the manner of tianshou, with PPO, on a batch of arms behind ROS: python collect_and_update.py [rounds]"""

import sys
from types import SimpleNamespace as Batch

import torch
from torch import nn
from torch.distributions import Normal

import uniros_learner as uniros

ARMS, LENGTH, GAMMA = 32, 16, 0.9


class Policy(nn.Module):
    def __init__(self, seen: int, acts: int):
        super().__init__()
        self.mean, self.worth = (nn.Sequential(nn.Linear(seen, 64), nn.Tanh(), nn.Linear(64, n)) for n in (acts, 1))
        self.log_std = nn.Parameter(torch.full((acts,), -0.5))
        self.optimiser = torch.optim.Adam(self.parameters(), 1e-3)

    def forward(self, seen: torch.Tensor) -> Normal:
        return Normal(self.mean(seen), self.log_std.exp())

    def update(self, batch: Batch) -> None:
        gain, gains = self.worth(batch.last)[..., 0].detach(), []
        for reward, over in zip(reversed(batch.reward), reversed(batch.over)):
            gains.insert(0, gain := reward + GAMMA * (1 - over) * gain)
        old = self(batch.seen).log_prob(batch.action).sum(-1).detach()
        columns = [column.flatten(0, 1) for column in (batch.seen, batch.action, old, torch.stack(gains))]
        for rows in torch.randperm(4 * ARMS * LENGTH).remainder(ARMS * LENGTH).split(128):
            seen, action, before, wanted = (column[rows] for column in columns)
            better = wanted - self.worth(seen)[:, 0]
            ratio, gain = (self(seen).log_prob(action).sum(-1) - before).exp(), (better / better.std()).detach()
            loss = 0.5 * better.square() - torch.min(ratio * gain, ratio.clamp(0.8, 1.2) * gain)
            self.optimiser.zero_grad(), loss.mean().backward(), self.optimiser.step()


def collect(policy: Policy, envs: uniros.RosVectorEnv, seen: torch.Tensor, ended: list[bool]) -> Batch:
    rows = []
    for _ in range(LENGTH):
        action = policy(seen).sample()
        following, reward, reached, late, _ = envs.step(action.clamp(-1, 1).numpy())
        rows.append((seen, action, torch.as_tensor(reward).float(), torch.as_tensor(reached | late).float()))
        seen, ended[:] = torch.as_tensor(following), [*ended, *reached[reached | late]][-100:]
    return Batch(last=seen, **dict(zip(("seen", "action", "reward", "over"), map(torch.stack, zip(*rows)))))


def main(rounds: str = "40") -> None:
    torch.manual_seed(0)
    with uniros.make_vec("RX200ReachSim-v0", ARMS, autoreset_mode="SameStep") as envs:
        policy, ended = Policy(envs.observation_space.shape[1], envs.action_space.shape[1]), [False]
        batch = Batch(last=torch.as_tensor(envs.reset(seed=0)[0]))
        for number in range(int(rounds)):
            policy.update(batch := collect(policy, envs, batch.last, ended))
            print(f"{ARMS * LENGTH * (number + 1):,} steps, success {sum(ended) / len(ended):.0%} of the last episodes")


main(*sys.argv[1:])
