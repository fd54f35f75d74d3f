"""The driver's configuration and its conversions: ticks and angles, fingers and horn, registers."""

from __future__ import annotations

import numpy as np
import pytest

from uniros_env_server.driver.config import Tuning, load_setup, velocity_counts
from uniros_env_server.driver.registers import Register, hardware_error_names, load_models
from uniros_env_server.robots.model import load_model

SETUP = load_setup()


def test_axes_and_published_joints_come_in_the_robot_s_order() -> None:
    assert SETUP.axes == ("waist", "shoulder", "elbow", "wrist_angle", "wrist_rotate", "gripper")
    assert SETUP.published == (*SETUP.axes, "left_finger", "right_finger")
    assert [servo.id for servo in SETUP.servos] == [1, 2, 3, 4, 5, 6, 7]
    assert [servo.id for servo in SETUP.leaders] == [1, 2, 4, 5, 6, 7]
    assert SETUP.servos[2].shadow_of == 2


def test_ticks_and_angles_are_inverse_and_centred() -> None:
    assert SETUP.ticks(0.0) == 2048
    assert SETUP.angle(3072) == pytest.approx(np.pi / 2)
    ticks = np.arange(4096)
    assert np.array_equal(SETUP.ticks(SETUP.angle(ticks)), ticks)


def test_limits_are_within_both_the_joint_s_and_the_servo_s() -> None:
    low = [servo.settings["min_position_limit"] for servo in SETUP.leaders]
    high = [servo.settings["max_position_limit"] for servo in SETUP.leaders]
    assert np.all(SETUP.ticks(SETUP.lower) >= low) and np.all(SETUP.ticks(SETUP.upper) <= high)
    lower, upper = load_model("rx200").limits(SETUP.arm)
    assert np.all(SETUP.lower[:5] >= lower) and np.all(SETUP.upper[:5] <= upper)
    assert np.allclose(SETUP.lower[:5], lower, atol=2e-3) and np.allclose(SETUP.upper[:5], upper, atol=2e-3)


def test_no_joint_may_be_commanded_faster_than_it_stands() -> None:
    assert SETUP.speed.tolist() == [1.5] * 6
    fast = load_setup(velocity=9.0)
    assert fast.speed[1] == 2.35
    assert fast.speed[[0, 2, 3, 4, 5]] == pytest.approx(np.pi)
    assert velocity_counts(2.35) == 97  # rounded down
    assert velocity_counts(np.pi) == SETUP.servos[0].settings["velocity_limit"] == 131


def test_the_gripper_s_linkage_is_the_model_s() -> None:
    model, linkage = load_model("rx200"), SETUP.linkage
    openings = np.linspace(0.015, 0.037, 50)
    angles = linkage.angle(openings)
    assert np.allclose(angles, model.linkage_angle(openings))
    assert np.allclose(linkage.opening(angles), openings)
    step = 1e-6
    slope = (linkage.opening(angles + step) - linkage.opening(angles - step)) / (2 * step)
    assert np.allclose(linkage.rate(angles), slope, rtol=1e-5)
    assert np.isfinite(linkage.angle([0.0, 1.0])).all()  # out of reach


def test_tuning_names_what_is_wrong() -> None:
    good = {name: getattr(SETUP.tuning, name) for name in SETUP.tuning.__dataclass_fields__}
    assert Tuning.read(good) == SETUP.tuning
    for wrong in ({"leed": 1.0}, {"lead": -0.1}, {"rate": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Tuning.read({**good, **wrong})


@pytest.mark.parametrize(("size", "signed", "value", "data"), [
    (1, True, -1, [255]), (2, True, -1000, [24, 252]), (4, False, 4095, [255, 15, 0, 0]),
    (4, True, -2, [254, 255, 255, 255])])
def test_registers_are_little_endian(size: int, signed: bool, value: int, data: list[int]) -> None:
    register = Register("r", 98, size, signed)
    assert register.encode(value) == data
    assert register.decode(bytes(data)) == value


def test_models_know_their_effort() -> None:
    models = load_models()
    assert models["XL430-W250"].number == 1060 and models["XM430-W350"].number == 1020
    assert models["XL430-W250"].effort == pytest.approx(0.0015)  # 0.1 % of 1.5 Nm
    assert models["XM430-W350"].effort == pytest.approx(2.69e-3 * 4.1 / 2.3)
    assert models["XM430-W350"].registers["present_current"].address == 126
    assert "present_load" not in models["XM430-W350"].registers


def test_hardware_errors_in_words() -> None:
    assert hardware_error_names(0) == ""
    assert hardware_error_names(4 | 32) == "overheating, overload"
    assert hardware_error_names(128) == "bit 7"
