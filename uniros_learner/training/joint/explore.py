"""How actors vary what the policy says, as the algorithm's own settings have it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.joint.domain import Domain
from uniros_msgs.exploration import Exploration

SAMPLING = ("SAC", "TQC", "CrossQ")  # algorithms whose policies are distributions


def exploration_of(model: OffPolicyAlgorithm, domains: Sequence[Domain]) -> list[Callable[[], Exploration]]:
    """For each domain, to be asked whenever it is needed: knobs may change the noise.

    Actions at random begin training in simulations alone, unless there are none. Raises InvalidConfig for exploration
    that an env server has no words for.
    """
    if model.use_sde:
        raise InvalidConfig("hyperparameters.use_sde: noise that depends on the state cannot be sent to the actors; "
                            "expected false, or joint.loop: plain")
    random = [domain for domain in domains if domain.lock_step] or list(domains)
    first = -(-model.learning_starts // len(random))
    noise_of(model)

    def explored(domain: Domain) -> Exploration:
        return Exploration(**noise_of(model), random_steps=first if domain in random else 0)

    return [partial(explored, domain) for domain in domains]


def noise_of(model: OffPolicyAlgorithm) -> dict:
    """The keywords of an `Exploration`."""
    noise: ActionNoise | None = model.action_noise
    if noise is None:
        return {"noise": "policy" if type(model).__name__ in SAMPLING else "none"}
    if type(model).__name__ in SAMPLING:
        raise InvalidConfig(f"hyperparameters.action_noise: {type(model).__name__} explores by sampling its policy, "
                            "noise beside it cannot be sent to the actors; expected null, or joint.loop: plain")
    if np.any(noise._mu):
        raise InvalidConfig("hyperparameters.action_noise: a mean other than 0 cannot be sent to the actors")
    sigma = tuple(np.ravel(noise._sigma).tolist())
    if isinstance(noise, OrnsteinUhlenbeckActionNoise):
        return {"noise": "ornstein_uhlenbeck", "sigma": sigma, "theta": noise._theta, "dt": noise._dt}
    assert isinstance(noise, NormalActionNoise)
    return {"noise": "normal", "sigma": sigma}
