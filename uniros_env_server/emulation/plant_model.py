"""The MuJoCo model of the arm that hangs on the emulated bus, made from the robot's own description and plant.yaml."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np

from uniros_env_server.emulation.settings import JointPhysics, PlantSettings, ServoPlace
from uniros_env_server.robots.mjcf import mjcf
from uniros_env_server.robots.model import Link, RobotModel

PLAY = "play_"  # prefix of the joints that rattle
PLAY_ROTOR = 2e-4  # kg m2 of the horn between servo and link
PLAY_VISCOUS = 0.02  # Nm s/rad
STICTION = (0.9999, 0.9999, 0.001, 0.5, 2.0)  # impedance of the friction constraint: what sticks does not creep
LIMIT_SOLREF = (0.005, 1.0)  # s and share of critical damping: end stops and play are hard


def build_plant(model: RobotModel, settings: PlantSettings, servos: tuple[ServoPlace, ...]) -> mujoco.MjModel:
    """Physics with a torque actuator for each servo (actuator i is servos[i]), friction, play and masses of its own.

    Actuators are made without any law; see `plant.Motor`.
    """
    random = np.random.default_rng(settings.seed)
    masses = 1 + settings.mass_spread * random.uniform(-1, 1, len(model.links))
    links = {name: _heavier(link, share) for (name, link), share in zip(model.links.items(), masses, strict=True)}
    gains = {name: (0.0, 0.0, joint.rotor) for name, joint in settings.joints.items()}
    simulation = {**model.simulation, "timestep": settings.timestep, "gains": gains}
    spec = mujoco.MjSpec.from_string(mjcf(replace(model, links=links, simulation=simulation)))
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for name, joint in settings.joints.items():
        _resist(spec.joint(name), joint, 1 + settings.friction_spread * random.uniform(-1, 1))
    for place in servos:
        spec.add_actuator(name=f"servo_{place.number}", trntype=mujoco.mjtTrn.mjTRN_JOINT, target=place.joint,
                          gear=[place.mounting, 0, 0, 0, 0, 0], gaintype=mujoco.mjtGain.mjGAIN_FIXED,
                          biastype=mujoco.mjtBias.mjBIAS_AFFINE, gainprm=[0.0] * 10, biasprm=[0.0] * 10,
                          forcelimited=True, forcerange=[-1.0, 1.0])
    _add_linkage(spec, model)
    return spec.compile()


def _heavier(link: Link, share: float) -> Link:
    return replace(link, mass=link.mass * share, inertia=tuple(value * share for value in link.inertia))


def _resist(joint: mujoco.MjsJoint, physics: JointPhysics, share: float) -> None:
    """Give a joint its friction, and an unseen second joint on the same axis that rattles freely by the play."""
    joint.frictionloss = physics.coulomb * share
    joint.damping = [physics.viscous * share, 0, 0]  # linear, quadratic, cubic
    joint.solimp_friction = STICTION
    joint.solref_limit = LIMIT_SOLREF
    if physics.play:
        joint.parent.add_joint(name=PLAY + joint.name, type=joint.type, axis=joint.axis, armature=PLAY_ROTOR,
                               damping=[PLAY_VISCOUS, 0, 0], limited=True, range=[-physics.play / 2, physics.play / 2],
                               solref_limit=LIMIT_SOLREF)


def _add_linkage(spec: mujoco.MjSpec, model: RobotModel) -> None:
    """Tie both fingers to the gripper's horn: a polynomial through the linkage's curve (within 0.04 mm of it)."""
    finger = model.joints[model.finger]
    closed, opened = model.linkage_angle(np.array([finger.lower, finger.upper]))
    angles = np.linspace(closed, opened, 50)
    fit = np.polynomial.Polynomial.fit(angles, model.linkage_opening(angles), 4).convert()
    curve = [float(coefficient) for coefficient in fit.coef]
    for name, sign in ((model.finger, 1.0), *((j.name, j.multiplier) for j in model.joints.values() if j.mimics)):
        spec.add_equality(type=mujoco.mjtEq.mjEQ_JOINT, objtype=mujoco.mjtObj.mjOBJ_JOINT, name1=name, name2="gripper",
                          data=[*(sign * value for value in curve), *[0.0] * 6], solref=list(LIMIT_SOLREF))
