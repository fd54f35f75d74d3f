"""TD3 from top to bottom in one file, in the manner of CleanRL, on an arm behind ROS.

    python single_file_td3.py [steps]
"""

import copy
import sys
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn.functional import mse_loss

import uniros_learner as uniros


def net(*sizes: int) -> nn.Sequential:
    return nn.Sequential(*[part for n, m in pairwise(sizes) for part in (nn.Linear(n, m), nn.ReLU())][:-1])


def main(steps: str = "5_000", starts: int = 300, batch: int = 128, gamma: float = 0.95, tau: float = 0.01) -> None:
    torch.manual_seed(0), np.random.seed(0), torch.set_num_threads(1)
    with uniros.make("RX200ReachSim-v0") as env:
        seen, acts = env.observation_space.shape[0], env.action_space.shape[0]
        actor, critics = nn.Sequential(net(seen, 64, 64, acts), nn.Tanh()), [net(seen + acts, 64, 64, 1) for _ in "12"]
        targets = copy.deepcopy(learnt := nn.ModuleList([actor, *critics]))
        best_actor = torch.optim.Adam(actor.parameters(), 1e-3)
        best_critics = torch.optim.Adam([p for critic in critics for p in critic.parameters()], 1e-3)
        memory, last = np.zeros((int(steps), 2 * seen + acts + 2), np.float32), []
        observation, _ = env.reset(seed=0)
        for step in range(int(steps)):
            with torch.no_grad():
                action = actor(torch.as_tensor(observation)).numpy() + 0.2 * np.random.randn(acts)
            action = action.clip(-1, 1) if step >= starts else np.random.uniform(-1, 1, acts)
            following, reward, terminated, truncated, info = env.step(action.astype(np.float32))
            memory[step] = np.concatenate([observation, action, following, [reward, terminated]])
            observation = following
            if terminated or truncated:
                last = [*last[-39:], info["is_success"]]
                observation, _ = env.reset()
            if step < starts:
                continue
            rows = torch.as_tensor(memory[np.random.randint(0, step + 1, batch)])
            s, a, s2, r, end = rows.split([seen, acts, seen, 1, 1], dim=1)
            with torch.no_grad():
                a2 = (targets[0](s2) + (0.2 * torch.randn_like(a)).clamp(-0.5, 0.5)).clamp(-1, 1)
                wanted = r + gamma * (1 - end) * torch.min(*(q(torch.cat([s2, a2], 1)) for q in targets[1:]))
            loss = sum(mse_loss(q(torch.cat([s, a], 1)), wanted) for q in critics)
            best_critics.zero_grad(), loss.backward(), best_critics.step()
            if step % 2 == 0:
                loss = -critics[0](torch.cat([s, actor(s)], 1)).mean()
                best_actor.zero_grad(), loss.backward(), best_actor.step()
                for slow, fast in zip(targets.parameters(), learnt.parameters()):
                    slow.data.lerp_(fast.data, tau)
        print(f"success of the last {len(last)} training episodes: {np.mean(last) if last else 0:.0%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
