"""A 3-D human skeleton: proportions, joint limits, poses, forward kinematics.

Body axes: x to the person's left, y up, z forward; metres. Angles are in degrees, zero when the
person stands upright with hanging arms. Segment lengths are near the shares of stature of the usual
tables (Drillis and Contini, 1966); a child has a larger head and shorter legs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = [
    "JOINT_LIMITS",
    "POSES",
    "SIDES",
    "Body",
    "Pose",
    "Skeleton",
    "make_pose",
    "pose_skeleton",
    "rotation_x",
    "rotation_y",
    "rotation_z",
    "sample_body",
    "sample_pose",
]

SIDES = (("left", 1.0), ("right", -1.0))

_LIMB_LIMITS = {
    "shoulder_flexion": (-45, 175),  # forward and up
    "shoulder_abduction": (-15, 170),  # away from the body
    "shoulder_rotation": (-80, 90),  # about the upper arm, outward
    "elbow_flexion": (0, 145),
    "wrist_flexion": (-50, 60),
    "hip_flexion": (-25, 125),  # thigh forward
    "hip_abduction": (-15, 50),
    "hip_rotation": (-30, 45),
    "knee_flexion": (0, 145),  # shank backward
    "ankle_flexion": (-25, 45),  # toes down
}

JOINT_LIMITS: dict[str, tuple[float, float]] = {
    "pelvis_pitch": (-95, 95),  # the whole body, forward
    "pelvis_side": (-95, 95),  # the whole body, to its left
    "spine_flexion": (-25, 60),
    "spine_side": (-25, 25),
    "spine_twist": (-35, 35),
    "neck_flexion": (-35, 40),
    "neck_side": (-25, 25),
    "neck_turn": (-65, 65),
    **{f"{side}_{name}": limit for side, _ in SIDES for name, limit in _LIMB_LIMITS.items()},
}
"""Smallest and largest angle of every joint, in degrees."""

_MIRRORED_SIGN = {"pelvis_side", "spine_side", "spine_twist", "neck_side", "neck_turn"}


def rotation_x(degrees: float) -> np.ndarray:
    """3x3 rotation about x (y towards z)."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def rotation_y(degrees: float) -> np.ndarray:
    """3x3 rotation about y (z towards x)."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def rotation_z(degrees: float) -> np.ndarray:
    """3x3 rotation about z (x towards y)."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


@dataclass(frozen=True)
class Body:
    """Proportions of one person: lengths in metres, the rest factors around 1."""

    stature: float
    head: float
    neck: float
    trunk: float
    shoulder: float  # from the middle to the joint
    hip: float  # from the middle to the joint
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shank: float
    ankle: float  # height above the sole
    foot: float
    limb_girth: float
    waist_girth: float
    chest_girth: float
    hip_girth: float


def sample_body(rng: np.random.Generator) -> Body:
    """Draw a person's proportions: adults and children, slim to stout."""
    youth = (
        rng.uniform(0.25, 1.0) if rng.random() < 0.22 else 0.0
    )  # 0 adult, 1 about four years old
    stature = rng.normal(1.72, 0.09) * (1 - 0.42 * youth)
    feminine = rng.random() < 0.5
    build = float(np.clip(rng.normal(1.0, 0.13), 0.8, 1.4))

    def share(adult: float, child: float, spread: float = 0.03) -> float:
        return float(stature * (adult + (child - adult) * youth) * rng.normal(1, spread))

    return Body(
        stature=float(stature),
        head=share(0.132, 0.185),
        neck=share(0.036, 0.028),
        trunk=share(0.285, 0.29),
        shoulder=share(0.104 if feminine else 0.116, 0.102),
        hip=share(0.057 if feminine else 0.053, 0.052),
        upper_arm=share(0.172, 0.165),
        forearm=share(0.148, 0.14),
        hand=share(0.100, 0.095),
        thigh=share(0.243, 0.215),
        shank=share(0.243, 0.205),
        ankle=share(0.040, 0.040),
        foot=share(0.150, 0.150),
        limb_girth=build * (0.9 if feminine else 1.0),
        waist_girth=build**1.6 * (0.9 if feminine else 1.0),
        chest_girth=build * (0.95 if feminine else 1.03),
        hip_girth=build * (1.06 if feminine else 0.98),
    )


@dataclass(frozen=True)
class Pose:
    """A pose: joint angles in degrees (every name of JOINT_LIMITS), and how it meets the ground.

    lift is the height of the lowest point above the ground in metres. seated asks for a seat under
    the pelvis.
    """

    name: str
    angles: dict[str, float]
    lift: float = 0.0
    seated: bool = False


def make_pose(
    name: str, angles: dict[str, float], *, lift: float = 0.0, seated: bool = False
) -> Pose:
    """A pose from some joint angles; the others are zero, and each is clipped to its limits.

    Raises:
        ValueError: an angle is not a name of JOINT_LIMITS.
    """
    unknown = sorted(set(angles) - set(JOINT_LIMITS))
    if unknown:
        raise ValueError(f"angles: unknown {unknown}; known are {sorted(JOINT_LIMITS)}")
    clipped = {
        key: float(np.clip(angles.get(key, 0.0), *limits)) for key, limits in JOINT_LIMITS.items()
    }
    return Pose(name, clipped, lift, seated)


@dataclass(frozen=True)
class Skeleton:
    """Joint positions (3,) in metres, and orientations (3, 3) of bones by their names.

    The -y axis of an arm's or leg's bone runs along it, away from the body.
    """

    joints: dict[str, np.ndarray]
    frames: dict[str, np.ndarray]


def pose_skeleton(body: Body, pose: Pose) -> Skeleton:
    """Forward kinematics: the ground is y = 0, the pelvis above the origin, +z ahead."""
    a = pose.angles
    joints: dict[str, np.ndarray] = {"pelvis": np.zeros(3)}
    pelvis = rotation_x(a["pelvis_pitch"]) @ rotation_z(-a["pelvis_side"])

    def spine(part: float) -> np.ndarray:
        return (
            rotation_y(a["spine_twist"] * part)
            @ rotation_x(a["spine_flexion"] * part)
            @ rotation_z(-a["spine_side"] * part)
        )

    def neck(part: float) -> np.ndarray:
        return (
            rotation_y(a["neck_turn"] * part)
            @ rotation_x(a["neck_flexion"] * part)
            @ rotation_z(-a["neck_side"] * part)
        )

    frames = {"pelvis": pelvis, "abdomen": pelvis @ spine(0.5), "chest": pelvis @ spine(1.0)}
    frames["neck"] = frames["chest"] @ neck(0.4)
    frames["head"] = frames["chest"] @ neck(1.0)
    up = np.array([0.0, 1.0, 0.0])
    joints["abdomen"] = joints["pelvis"] + 0.25 * body.trunk * (pelvis @ up)
    joints["chest"] = joints["abdomen"] + 0.30 * body.trunk * (frames["abdomen"] @ up)
    joints["neck"] = joints["chest"] + 0.45 * body.trunk * (frames["chest"] @ up)
    joints["skull_base"] = joints["neck"] + body.neck * (
        frames["neck"] @ np.array([0.0, 0.97, 0.24])
    )
    joints["head"] = joints["skull_base"] + body.head * (frames["head"] @ np.array([0, 0.45, 0.04]))

    for side, sign in SIDES:
        shoulder = np.array([sign * body.shoulder, -0.11 * body.trunk, 0.0])
        joints[f"{side}_shoulder"] = joints["neck"] + frames["chest"] @ shoulder
        upper_arm = (
            frames["chest"]
            @ rotation_x(-a[f"{side}_shoulder_flexion"])
            @ rotation_z(sign * a[f"{side}_shoulder_abduction"])
            @ rotation_y(sign * a[f"{side}_shoulder_rotation"])
        )
        forearm = upper_arm @ rotation_x(-a[f"{side}_elbow_flexion"])
        hand = forearm @ rotation_x(-a[f"{side}_wrist_flexion"])
        joints[f"{side}_elbow"] = joints[f"{side}_shoulder"] - body.upper_arm * upper_arm[:, 1]
        joints[f"{side}_wrist"] = joints[f"{side}_elbow"] - body.forearm * forearm[:, 1]
        joints[f"{side}_fingertips"] = joints[f"{side}_wrist"] - body.hand * hand[:, 1]

        joints[f"{side}_hip"] = pelvis @ np.array([sign * body.hip, 0.0, 0.0])
        thigh = (
            pelvis
            @ rotation_x(-a[f"{side}_hip_flexion"])
            @ rotation_z(sign * a[f"{side}_hip_abduction"])
            @ rotation_y(sign * a[f"{side}_hip_rotation"])
        )
        shank = thigh @ rotation_x(a[f"{side}_knee_flexion"])
        foot = shank @ rotation_x(a[f"{side}_ankle_flexion"])
        joints[f"{side}_knee"] = joints[f"{side}_hip"] - body.thigh * thigh[:, 1]
        joints[f"{side}_ankle"] = joints[f"{side}_knee"] - body.shank * shank[:, 1]
        joints[f"{side}_heel"] = joints[f"{side}_ankle"] + foot @ np.array(
            [0.0, -body.ankle, -0.26 * body.foot]
        )
        joints[f"{side}_toes"] = joints[f"{side}_ankle"] + foot @ np.array(
            [0.0, -body.ankle, 0.74 * body.foot]
        )
        for name, frame in (
            ("upper_arm", upper_arm),
            ("forearm", forearm),
            ("hand", hand),
            ("thigh", thigh),
            ("shank", shank),
            ("foot", foot),
        ):
            frames[f"{side}_{name}"] = frame

    # Half the thickness of the flesh around each point that can touch the ground.
    flesh = {"pelvis": 0.075, "chest": 0.065, "head": 0.06, "knee": 0.035, "elbow": 0.025}
    flesh |= {"fingertips": 0.01, "heel": 0.0, "toes": 0.0, "shoulder": 0.035}
    lowest = min(
        position[1] - flesh[name.split("_")[-1]] * body.stature
        for name, position in joints.items()
        if name.split("_")[-1] in flesh
    )
    offset = np.array([0.0, pose.lift - lowest, 0.0])
    return Skeleton({name: position + offset for name, position in joints.items()}, frames)


# Poses. Each function draws joint angles; sample_pose mirrors half of them.

_Angles = dict[str, float]


def _both(name: str, left: float, right: float | None = None) -> _Angles:
    return {f"left_{name}": left, f"right_{name}": left if right is None else right}


def _arm(side: str, flexion: float, abduction: float, rotation: float, elbow: float) -> _Angles:
    return {
        f"{side}_shoulder_flexion": flexion,
        f"{side}_shoulder_abduction": abduction,
        f"{side}_shoulder_rotation": rotation,
        f"{side}_elbow_flexion": elbow,
    }


def _free_arm(rng: np.random.Generator, side: str) -> _Angles:
    """One arm in an everyday gesture."""
    n = rng.normal
    gestures: tuple[tuple[float, Callable[[], _Angles]], ...] = (
        (0.46, lambda: _arm(side, n(3, 9), abs(n(9, 5)) + 4, n(0, 15), abs(n(18, 12)))),
        (0.12, lambda: _arm(side, n(-14, 6), n(46, 6), n(-76, 8), n(98, 8))),  # hand on the hip
        (0.10, lambda: _arm(side, n(38, 10), n(12, 6), n(-12, 12), n(122, 12))),  # at the face
        (0.12, lambda: _arm(side, n(80, 18), n(10, 12), n(0, 15), abs(n(14, 12)))),  # pointing
        (0.10, lambda: _arm(side, n(25, 12), n(14, 6), n(-20, 15), n(85, 14))),  # forearm forward
        (
            0.10,
            lambda: _arm(side, n(0, 8), n(80, 22), n(20, 25), abs(n(25, 20))),
        ),  # out to the side
    )
    weights = np.array([weight for weight, _ in gestures])
    return gestures[rng.choice(len(gestures), p=weights / weights.sum())][1]()


def _free_arms(rng: np.random.Generator) -> _Angles:
    return _free_arm(rng, "left") | _free_arm(rng, "right")


def _straight_legs(rng: np.random.Generator) -> _Angles:
    n = rng.normal
    bend = np.abs([n(4, 4), n(4, 4)])
    if rng.random() < 0.3:  # the weight on one leg
        bend[rng.integers(2)] += rng.uniform(10, 25)
    spread = abs(n(5, 4)) + (rng.uniform(8, 22) if rng.random() < 0.2 else 0)
    legs = _both("knee_flexion", *bend) | _both("hip_flexion", bend[0] * 0.55, bend[1] * 0.55)
    legs |= _both("hip_abduction", spread, spread + n(0, 2)) | _both("hip_rotation", 8, 8)
    return legs | _both("ankle_flexion", -bend[0] * 0.45, -bend[1] * 0.45)


def _standing(rng: np.random.Generator) -> Pose:
    return make_pose("standing", _straight_legs(rng) | _free_arms(rng))


def _arms_up(rng: np.random.Generator) -> Pose:
    n = rng.normal
    if rng.random() < 0.5:
        arms = {}
        for side, _ in SIDES:
            arms |= _arm(side, n(158, 10), abs(n(14, 10)), n(0, 15), abs(n(18, 15)))
    else:
        angle = rng.uniform(80, 150)
        arms = _arm("left", n(0, 6), angle + n(0, 8), n(15, 20), abs(n(15, 15)))
        arms |= _arm("right", n(0, 6), angle + n(0, 8), n(15, 20), abs(n(15, 15)))
    return make_pose("arms up", _straight_legs(rng) | arms)


def _waving(rng: np.random.Generator) -> Pose:
    n = rng.normal
    wave = _arm("left", n(5, 8), rng.uniform(70, 125), n(80, 8), rng.uniform(40, 110))
    return make_pose("waving", _straight_legs(rng) | _free_arm(rng, "right") | wave)


def _walking(rng: np.random.Generator) -> Pose:
    phase, stride, n = rng.uniform(0, 2 * np.pi), rng.uniform(16, 30), rng.normal
    angles: _Angles = {"pelvis_pitch": rng.uniform(0, 6), "spine_twist": 6 * np.sin(phase)}
    for side, offset in (("left", 0.0), ("right", np.pi)):
        swing = np.sin(phase + offset)
        lifting = max(0.0, np.cos(phase + offset))  # the leg that moves forward bends its knee
        angles[f"{side}_hip_flexion"] = 4 + stride * swing + 10 * lifting
        angles[f"{side}_knee_flexion"] = 5 + 48 * lifting + 6 * max(0.0, -swing)
        angles[f"{side}_ankle_flexion"] = 14 * max(0.0, -swing) - 5 * swing
        angles[f"{side}_hip_abduction"] = 1.5
        angles |= _arm(
            side, -stride * 0.9 * swing + n(2, 4), 7 + abs(n(2, 3)), 0, 18 + abs(n(6, 8))
        )
    if rng.random() < 0.25:
        angles |= _free_arm(rng, "left")
    return make_pose("walking", angles)


def _running(rng: np.random.Generator) -> Pose:
    phase, stride, n = rng.uniform(0, 2 * np.pi), rng.uniform(34, 52), rng.normal
    angles: _Angles = {"pelvis_pitch": rng.uniform(6, 16), "spine_twist": 10 * np.sin(phase)}
    angles["neck_flexion"] = -8
    for side, offset in (("left", 0.0), ("right", np.pi)):
        swing = np.sin(phase + offset)
        lifting = max(0.0, np.cos(phase + offset))
        angles[f"{side}_hip_flexion"] = 14 + stride * swing + 14 * lifting
        angles[f"{side}_knee_flexion"] = 18 + 78 * lifting + 32 * max(0.0, swing)
        angles[f"{side}_ankle_flexion"] = 25 * max(0.0, -swing)
        elbow = rng.uniform(70, 110)
        angles |= _arm(side, -stride * swing + n(0, 6), 12 + abs(n(3, 4)), n(-8, 8), elbow)
    return make_pose("running", angles, lift=rng.uniform(0.0, 0.1))


def _jumping(rng: np.random.Generator) -> Pose:
    n = rng.normal
    tuck = rng.uniform(0, 75)
    spread = rng.uniform(0, 35)
    angles = _both("hip_flexion", tuck * 0.8 + n(0, 6), tuck * 0.8 + n(0, 6))
    angles |= _both("knee_flexion", tuck + abs(n(12, 10)), tuck + abs(n(12, 10)))
    angles |= _both("hip_abduction", spread, spread) | _both("ankle_flexion", 30, 30)
    high = rng.uniform(70, 160)
    for side, _ in SIDES:
        if rng.random() < 0.5:
            angles |= _arm(side, high + n(0, 12), 15 + abs(n(0, 10)), 0, abs(n(20, 15)))
        else:
            angles |= _arm(side, n(5, 10), high + n(0, 12), n(20, 20), abs(n(20, 15)))
    return make_pose("jumping", angles, lift=rng.uniform(0.12, 0.4))


def _crouching(rng: np.random.Generator) -> Pose:
    n = rng.normal
    depth = rng.uniform(0.35, 1.0)
    lean = 8 + 26 * depth
    angles = {"pelvis_pitch": lean, "spine_flexion": rng.uniform(5, 30), "neck_flexion": -18}
    angles |= _both("hip_flexion", lean + 95 * depth) | _both("knee_flexion", 135 * depth)
    angles |= _both("ankle_flexion", -40 * depth) | _both("hip_abduction", rng.uniform(3, 25))
    angles |= _both("hip_rotation", rng.uniform(0, 25))
    for side, _ in SIDES:
        angles |= _arm(side, 30 + 45 * rng.random(), 8 + abs(n(6, 6)), n(-5, 12), n(45, 25))
    return make_pose("crouching", angles)


def _sitting(rng: np.random.Generator) -> Pose:
    n = rng.normal
    lean = n(-2, 7)
    angles = {"pelvis_pitch": lean, "spine_flexion": abs(n(6, 7))}
    angles |= _both("hip_abduction", abs(n(8, 6)), abs(n(8, 6)))
    thighs = 84 + lean
    angles |= _both("hip_flexion", thighs + n(0, 3), thighs + n(0, 3))
    angles |= _both("knee_flexion", 84 + n(0, 10), 84 + n(0, 10))
    if rng.random() < 0.55:  # hands on the thighs
        for side, _ in SIDES:
            angles |= _arm(side, n(26, 6), 9 + abs(n(2, 3)), n(-8, 6), n(52, 10))
    else:
        angles |= _free_arms(rng)
    return make_pose("sitting", angles, seated=True)


def _sitting_on_the_ground(rng: np.random.Generator) -> Pose:
    n = rng.normal
    angles: _Angles = {"pelvis_pitch": n(-10, 5), "spine_flexion": abs(n(18, 8))}
    for side, _ in SIDES:
        raised = rng.uniform(0, 1)
        angles[f"{side}_hip_flexion"] = 72 + 40 * raised
        angles[f"{side}_knee_flexion"] = 4 + 100 * raised
        angles[f"{side}_hip_abduction"] = abs(n(12, 8))
        angles |= _arm(side, n(35, 12), 10 + abs(n(3, 4)), n(-5, 10), n(35, 15))
    return make_pose("sitting on the ground", angles)


def _lunging(rng: np.random.Generator) -> Pose:
    n = rng.normal
    depth = rng.uniform(0.4, 1.0)
    angles = {
        "pelvis_pitch": rng.uniform(0, 10),
        "left_hip_flexion": 30 + 50 * depth,
        "left_knee_flexion": 30 + 55 * depth,
        "right_hip_flexion": -20 * depth,
        "right_knee_flexion": 8 + 45 * depth * rng.random(),
        "right_ankle_flexion": -10.0,
    }
    return make_pose("lunging", angles | _both("hip_abduction", abs(n(4, 3))) | _free_arms(rng))


def _kicking(rng: np.random.Generator) -> Pose:
    n = rng.normal
    angles = {
        "pelvis_pitch": rng.uniform(-15, 5),
        "left_hip_flexion": rng.uniform(35, 95),
        "left_knee_flexion": abs(n(15, 15)),
        "left_hip_abduction": abs(n(10, 8)),
        "left_ankle_flexion": 20.0,
        "right_knee_flexion": abs(n(12, 6)),
        "right_hip_flexion": 4.0,
    }
    angles |= _arm("left", n(-10, 15), n(45, 18), 0, abs(n(25, 15)))
    angles |= _arm("right", n(20, 20), n(50, 18), 0, abs(n(30, 15)))
    return make_pose("kicking", angles)


def _bending(rng: np.random.Generator) -> Pose:
    n = rng.normal
    lean = rng.uniform(20, 60)
    angles = {
        "pelvis_pitch": lean,
        "spine_flexion": rng.uniform(10, 40),
        "neck_flexion": n(-10, 10),
    }
    bend = abs(n(14, 8))
    angles |= _both("hip_flexion", lean + bend * 0.6) | _both("knee_flexion", bend)
    angles |= _both("hip_abduction", abs(n(6, 4))) | _both("ankle_flexion", -bend * 0.4)
    for side, _ in SIDES:
        angles |= _arm(side, lean + n(15, 12), 6 + abs(n(4, 4)), 0, abs(n(15, 12)))
    return make_pose("bending", angles)


def _lying(rng: np.random.Generator) -> Pose:
    n = rng.normal
    facing = rng.choice(["up", "down", "side"], p=[0.5, 0.25, 0.25])
    angles: _Angles = {"neck_turn": n(0, 20)}
    if facing == "side":
        angles["pelvis_side"] = -90  # on the right side
        bend = rng.uniform(10, 60)
        angles |= _both("hip_flexion", bend, bend + n(0, 10))
        angles |= _both("knee_flexion", bend * 1.1, bend * 1.1)
        angles |= _arm("left", n(50, 15), 10, 0, n(50, 20)) | _arm(
            "right", n(85, 10), 5, 0, n(60, 20)
        )
        return make_pose("lying", angles)
    angles["pelvis_pitch"] = -88 if facing == "up" else 88
    for side, _ in SIDES:
        if facing == "up":
            bend = rng.choice([0.0, rng.uniform(20, 50)])
            angles[f"{side}_hip_flexion"], angles[f"{side}_knee_flexion"] = bend, 2 * bend
            abduction = rng.choice([15.0, rng.uniform(60, 150)])
            angles |= _arm(side, 0, abduction, n(20, 20), abs(n(30, 20)))
        else:
            angles |= _arm(side, 4, rng.choice([18.0, 140.0]), 0, abs(n(10, 10)))
            angles[f"{side}_ankle_flexion"] = 45
        angles[f"{side}_hip_abduction"] = abs(n(8, 5))
    return make_pose("lying", angles)


POSES: dict[str, Callable[[np.random.Generator], Pose]] = {
    "standing": _standing,
    "walking": _walking,
    "running": _running,
    "arms up": _arms_up,
    "waving": _waving,
    "jumping": _jumping,
    "sitting": _sitting,
    "crouching": _crouching,
    "lunging": _lunging,
    "kicking": _kicking,
    "bending": _bending,
    "sitting on the ground": _sitting_on_the_ground,
    "lying": _lying,
}
"""The function that draws each kind of pose."""


def sample_pose(rng: np.random.Generator, name: str) -> Pose:
    """Draw a pose of the kind named, with either side leading.

    Raises:
        ValueError: name is not in POSES.
    """
    if name not in POSES:
        raise ValueError(f"name: got {name!r}, needs one of {list(POSES)}")
    pose = POSES[name](rng)
    angles = dict(pose.angles)
    for key, spread in (("spine_side", 3), ("spine_twist", 5), ("neck_turn", 16)):
        angles[key] += rng.normal(0, spread)
    for key, spread in (("neck_side", 5), ("neck_flexion", 7), ("spine_flexion", 3)):
        angles[key] += rng.normal(0, spread)
    for key in ("left_wrist_flexion", "right_wrist_flexion"):
        angles[key] += rng.normal(5, 12)
    if rng.random() < 0.5:
        angles = {_mirror_name(key): value for key, value in angles.items()}
        for key in _MIRRORED_SIGN:
            angles[key] = -angles[key]
    return make_pose(pose.name, angles, lift=pose.lift, seated=pose.seated)


def _mirror_name(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name
