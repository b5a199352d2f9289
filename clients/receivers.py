"""What programs that receive VMC need, by name: the table of ``--receiver``. ``docs/receivers.md`` has the sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dancerev.errors import InputError
from dancerev.model.hands_and_face import FINGERS
from dancerev.model.skeleton import BONES

from .udp import VMC_PORT
from .vmc import FACE


@dataclass(frozen=True, slots=True)
class Preset:
    """What to send to one program.

    Attributes:
        title: its name, as people write it.
        port: on which it listens by default.
        travel: which transform must carry the dancer: see :class:`~dancerev.clients.vmc.VmcSender`.
        upper_chest: whether it knows that bone.
        turned: whether its avatars face away from the audience unless everything is turned by half a turn.
        note: what to set in the program, one line.
    """

    title: str
    port: int = VMC_PORT
    travel: Literal["hips", "root"] = "hips"
    upper_chest: bool = True
    turned: bool = False
    note: str = ""


RECEIVERS: dict[str, Preset] = {
    "unity": Preset("Dancerev Receiver for Unity"),
    "evmc4u": Preset("EVMC4U (Unity)", note="without --avatar, switch Bone Position Synchronize off"),
    "vseeface": Preset("VSeeFace", note="General settings > OSC/VMC receiver: enable it, and Track lower body with it"),
    "warudo": Preset("Warudo", note="add a VMC pose source; without --avatar, leave bone positions out"),
    "vnyan": Preset("VNyan", note="Settings > VMC receiver: enable a layer"),
    "vmc4ue": Preset("VMC4UE (Unreal)", upper_chest=False, note="use --avatar with the VRM that was imported"),
    "blender": Preset("VMC4B (Blender)", note="import the avatar with the VRM add-on first"),
    "godot": Preset("Godot XR VMC Tracker", note="Position Mode: Free; Udp Listener Port: 39539"),
    "threevrm": Preset(
        "three-vrm behind a VMC bridge", turned=True, note="models of VRM 0 that are not turned; --web needs none"
    ),
}
"""Receivers by the name that ``--receiver`` takes."""

_ARMS = tuple(f"{side}{part}" for side in ("Left", "Right") for part in ("Shoulder", "UpperArm", "LowerArm", "Hand"))
_LEGS = tuple(f"{side}{part}" for side in ("Left", "Right") for part in ("UpperLeg", "LowerLeg", "Foot", "Toes"))

GROUPS: dict[str, tuple[str, ...]] = {
    "head": ("Neck", "Head"),
    "face": (FACE, "LeftEye", "RightEye"),
    "arms": _ARMS,
    "hands": FINGERS,
    "trunk": ("Hips", "Spine", "Chest", "UpperChest"),
    "legs": _LEGS,
}
"""Parts of the body that ``--only`` and ``--except`` name, and what belongs to them."""

_EVERYTHING = frozenset((*BONES, *FINGERS, *GROUPS["face"]))


def preset(name: str) -> Preset:
    """Return the preset called ``name``.

    Raises:
        InputError: there is none.
    """
    if name.lower() not in RECEIVERS:
        raise InputError(f"--receiver {name}: not one of {', '.join(RECEIVERS)}")
    return RECEIVERS[name.lower()]


def bone_mask(only: str | None, without: str | None) -> frozenset[str] | None:
    """Return what to send for the texts of ``--only`` and ``--except``, groups and bones with commas; None for all.

    Raises:
        InputError: a name that is neither a group nor a bone, or nothing is left.
    """
    if only is None and without is None:
        return None
    chosen = _EVERYTHING if only is None else frozenset(_named("--only", only))
    chosen -= frozenset(_named("--except", without)) if without is not None else frozenset()
    if not chosen:
        raise InputError("--only and --except leave nothing to send")
    return chosen


def _named(option: str, text: str) -> Iterable[str]:
    bones = {bone.lower(): bone for bone in _EVERYTHING}
    for name in text.lower().split(","):
        name = name.strip()
        if name in GROUPS:
            yield from GROUPS[name]
        elif name in bones:
            yield bones[name]
        else:
            raise InputError(f"{option} {name}: neither one of {', '.join(GROUPS)} nor a bone such as LeftHand")
