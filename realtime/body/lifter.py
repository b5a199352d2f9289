"""Two-dimensional dances in three dimensions: BODY_25 key points, frame by frame and causally, to poses."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import ModelError
from dancerev.model import rotation
from dancerev.model.body25 import JOINTS
from dancerev.model.pose import Pose
from dancerev.model.skeleton import BONES, INDEX, forward_kinematics
from dancerev.model.step_format import LIFTER_FORMAT, LIFTER_OUTPUTS, LIFTER_STATE, METADATA_KEY

from .post_process import PostProcessor

Array = npt.NDArray[Any]

FRAME_RATE = 30
"""Frames per second that the lifter was trained at."""

_ROTATIONS = 6 * len(BONES)


def lifter_path() -> Path:
    """Return the bundled lifter."""
    return Path(str(resources.files("dancerev.model") / "pretrained" / "lifter.onnx"))


def body_size() -> float:
    """Length of our dancer's trunk and leg, metres: what the lifter measures in the picture."""
    rest = np.tile(np.array([0.0, 0.0, 0.0, 1.0]), (len(BONES), 1))
    positions, _ = forward_kinematics(rest, np.zeros(3))
    neck, hips = (
        (positions[INDEX[f"Left{bone}"]] + positions[INDEX[f"Right{bone}"]]) / 2.0 for bone in ("UpperArm", "UpperLeg")
    )
    hip, knee, ankle = (positions[INDEX[f"Left{bone}"]] for bone in ("UpperLeg", "LowerLeg", "Foot"))
    return float(np.linalg.norm(neck - hips) + np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle))


class Lifter:
    """One person's film to poses, at FRAME_RATE.

    The heading is relative to the camera: who looks into it faces +Z. The person walks to the sides as in the film;
    distance cannot be measured in one picture, so that ``z`` stays 0.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Load a graph of ``dancerev-export``; by default the bundled one.

        Raises:
            ModelError: it is no such graph.
        """
        import onnxruntime

        path = path or lifter_path()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            metadata = json.loads(self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, "{}"))
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            raise ModelError(f"{path}: not a model that ONNX Runtime can load ({str(error).splitlines()[0]})") from None
        found = metadata.get("format"), metadata.get("joints"), metadata.get("bones")
        if found != (LIFTER_FORMAT, list(JOINTS), list(BONES)):
            raise ModelError(f"{path}: not a lifter for this program; export it again")
        shapes = {x.name: x.shape for x in self._session.get_inputs()}
        self._state = {name: np.zeros(shapes[name], dtype=np.float32) for name in LIFTER_STATE}
        self._outputs = [*LIFTER_OUTPUTS, *(f"new_{name}" for name in LIFTER_STATE)]
        self._metres = body_size()
        self._x = 0.0
        self._body = PostProcessor()

    def lift(self, points: Array, time: float) -> Pose:
        """Lift one frame.

        Args:
            points: (25, 2) pixels, none missing.
            time: of the frame, seconds.

        Returns:
            The pose after post-processing: limits, planted feet, nothing below the floor.
        """
        given = {"points": np.asarray(points, dtype=np.float32)[None], **self._state}
        vector, moved, *state = self._session.run(self._outputs, given)
        self._state = dict(zip(LIFTER_STATE, state, strict=True))
        self._x += self._metres * float(moved[0, 0])
        rotations = rotation.from_6d(vector[0, :_ROTATIONS].reshape(len(BONES), 6).astype(np.float64))
        root = np.array([self._x, vector[0, _ROTATIONS], 0.0], dtype=np.float32)
        return self._body.process(Pose(time, rotations.astype(np.float32), root, vector[0, _ROTATIONS + 1 :]))


def lift(keypoints: Array, fps: float = FRAME_RATE) -> list[Pose]:
    """Lift a whole film.

    Args:
        keypoints: (T, 25, 2) pixels, none missing.
        fps: of the film.

    Returns:
        Poses at FRAME_RATE, the first at 0 s; the film is brought to that rate by straight lines from point to point.
    """
    count = round((len(keypoints) - 1) * FRAME_RATE / fps) + 1
    at = np.minimum(np.arange(count) * fps / FRAME_RATE, len(keypoints) - 1)
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, len(keypoints) - 1), (at - low)[:, None, None]
    film = (1.0 - share) * keypoints[low] + share * keypoints[high]
    lifter = Lifter()
    return [lifter.lift(points, i / FRAME_RATE) for i, points in enumerate(film)]
