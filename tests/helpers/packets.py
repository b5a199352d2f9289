"""OSC messages as a VMC receiver may meet them."""

from dancerev.clients import osc


def bone(name, *numbers):
    return osc.encode("/VMC/Ext/Bone/Pos", name, *numbers)


NO_BONES = [
    b"",
    b"#bundle\0",
    bone("Hips"),
    bone("Hips", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0),
    bone("Hips", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    bone("Hips", float("nan"), 1.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    bone("Hips", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, float("inf")),
    bone("Hips", 3e38, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    bone("Hips", 0.0, 1.0, 0.0, 0.0, 0.0, "0", 1.0),
    bone("Tail", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    osc.encode("/VMC/Ext/Bone/Pos", 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0),
    osc.encode("/VMC/Ext/Blend/Apply"),
    osc.encode("/VMC/Ext/T", "now"),
    osc.encode("/dancerev/bpm"),
    osc.encode("/dancerev/phase", float("nan")),
    osc.encode("/tracking/face", 1, 2.0, "three"),
]
"""Packets that change nothing: damaged, of another kind, or with numbers that no body has."""
