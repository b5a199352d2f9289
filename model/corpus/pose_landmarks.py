"""A dancer's key points in the pictures of a film, by the landmark models of npm's ``@mediapipe/pose`` (Apache-2.0).

BlazePose (Bazarevsky et al., 2020): a detector finds a person in the whole picture, a landmark network finds 33 points
in a square about the person, and two more points that give the square of the next picture. The models are not
part of this package: ``npm pack @mediapipe/pose`` fetches them. LiteRT runs them (the extra ``video``).
"""

from __future__ import annotations

import math
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError, reason

from ..body25 import JOINTS

Array = npt.NDArray[Any]

DETECTOR, LANDMARKS = "pose_solution_packed_assets.data", "pose_landmark_full.tflite"
"""Files of the package; the first is the detector's model under another name."""

HOW = "run `npm pack @mediapipe/pose` and give the file it writes as --pose-models"

_DETECTED, _TRACKED = 0.5, 0.5  # least scores of a detection, and of a person in the square
_DETECTOR_SIZE, _LANDMARK_SIZE = 224, 256
_MARGIN = 1.25

# Where BODY_25 joints are among the 33 landmarks: one, or the middle of two.
_LANDMARKS_OF: dict[str, tuple[int, ...]] = {
    "Nose": (0,),
    "Neck": (11, 12),
    "MidHip": (23, 24),
    **{
        f"{side}{joint}": (index + (side == "R"),)
        for side in "LR"
        for joint, index in {
            "Ear": 7,
            "Shoulder": 11,
            "Elbow": 13,
            "Wrist": 15,
            "Hip": 23,
            "Knee": 25,
            "Ankle": 27,
            "Heel": 29,
            "BigToe": 31,
            "SmallToe": 31,
        }.items()
    },
    "LEye": (2,),
    "REye": (5,),
}


@dataclass(frozen=True)
class Square:
    """Where a person is: a turned square of the picture.

    Attributes:
        x: of its centre, pixels.
        y: of its centre, pixels.
        side: pixels.
        angle: radians, clockwise in the picture, by which the person leans.
    """

    x: float
    y: float
    side: float
    angle: float

    @classmethod
    def about(cls, centre: Array, top: Array) -> Square:
        """Return the square about a person with hips at ``centre``, whose circle's uppermost point is ``top``."""
        across, down = (top - centre).tolist()
        side = 2.0 * _MARGIN * math.hypot(across, down)
        return cls(float(centre[0]), float(centre[1]), side, math.atan2(across, -down))

    def places(self, size: int) -> Array:
        """(size, size, 2) pixels of the picture that a square picture of ``size`` shows."""
        at = (np.arange(size) + 0.5) / size - 0.5
        across, down = np.meshgrid(at * self.side, at * self.side)
        sine, cosine = math.sin(self.angle), math.cos(self.angle)
        return np.stack([self.x + cosine * across - sine * down, self.y + sine * across + cosine * down], axis=-1)

    def to_picture(self, points: Array) -> Array:
        """Points (N, 2) in [0, 1] of the square → pixels of the picture."""
        across, down = ((points - 0.5) * self.side).T
        sine, cosine = math.sin(self.angle), math.cos(self.angle)
        return np.stack([self.x + cosine * across - sine * down, self.y + sine * across + cosine * down], axis=-1)


def cut_out(picture: Array, square: Square, size: int) -> npt.NDArray[np.float32]:
    """Cut a square out of a picture (H, W, 3) uint8: (size, size, 3) in [0, 1], black outside.

    Bilinear, and averaged where it shrinks.
    """
    over = max(1, min(4, round(square.side / size)))  # samples per pixel and direction
    places = square.places(size * over) - 0.5
    low = np.floor(places).astype(int)
    share = (places - low).astype(np.float32)
    height, width = picture.shape[:2]
    made = np.zeros((*places.shape[:2], 3), dtype=np.float32)
    for right in (0, 1):
        for down in (0, 1):
            x, y = low[..., 0] + right, low[..., 1] + down
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            weight = np.abs(1 - right - share[..., 0]) * np.abs(1 - down - share[..., 1]) * inside
            made += weight[..., None] * picture[y.clip(0, height - 1), x.clip(0, width - 1)]
    return made.reshape(size, over, size, over, 3).mean(axis=(1, 3)) / np.float32(255.0)


def _anchors() -> Array:
    """(2254, 2) centres of the detector's anchors, in [0, 1] of its picture."""
    centres = []
    for cells, count in ((28, 2), (14, 2), (7, 6)):
        at = (np.arange(cells) + 0.5) / cells
        across, down = np.meshgrid(at, at)
        centres.append(np.repeat(np.stack([across, down], axis=-1).reshape(-1, 2), count, axis=0))
    return np.concatenate(centres)


def read_models(path: Path) -> tuple[bytes, bytes]:
    """Read detector and landmark network from the unpacked or packed npm package.

    Raises:
        InputError: they are not in it.
    """
    try:
        if path.is_dir():
            folder = path / "package" if (path / "package").is_dir() else path
            return (folder / DETECTOR).read_bytes(), (folder / LANDMARKS).read_bytes()
        with tarfile.open(path) as archive:
            files = (archive.extractfile(f"package/{name}") for name in (DETECTOR, LANDMARKS))
            detector, landmarks = (file.read() if file else b"" for file in files)
        return detector, landmarks
    except (OSError, KeyError, tarfile.TarError, EOFError) as error:
        raise InputError(f"{path}: not the package @mediapipe/pose ({reason(error)}); {HOW}") from None


class _Model:
    """One network in LiteRT, on one thread."""

    def __init__(self, content: bytes) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ModuleNotFoundError as error:
            raise InputError(f"{error.name} is missing: pip install 'dancerev[video]'") from None
        try:
            self._interpreter = Interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"not a model that LiteRT can load ({error}); {HOW}") from None
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = {tuple(d["shape"].tolist()): d["index"] for d in self._interpreter.get_output_details()}

    def run(self, picture: Array, *shapes: tuple[int, ...]) -> list[Array]:
        """Output of these shapes for a picture (S, S, 3)."""
        self._interpreter.set_tensor(self._input, picture[None].astype(np.float32))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(self._outputs[shape]) for shape in shapes]


class PoseTracker:
    """Follows one person from picture to picture.

    Attributes:
        detections: how often the person was looked for in the whole picture.
    """

    def __init__(self, models: tuple[bytes, bytes]) -> None:
        """Load the networks of :func:`read_models`.

        Raises:
            InputError: they cannot be loaded, or LiteRT is missing.
        """
        self._detector, self._landmarks = (_Model(content) for content in models)
        self._anchors = _anchors()
        self._square: Square | None = None
        self.detections = 0

    def track(self, picture: Array) -> Array | None:
        """Find the person.

        Args:
            picture: (H, W, 3) uint8 RGB.

        Returns:
            (25, 3) BODY_25 in pixels of the picture with scores in [0, 1], or None where nobody is seen.
        """
        if self._square is not None:
            found = self._in_square(picture, self._square)
            if found is not None:
                return found
        self._square = self._detect(picture)
        return None if self._square is None else self._in_square(picture, self._square)

    def _detect(self, picture: Array) -> Square | None:
        """Return the square about the surest person in the picture."""
        self.detections += 1
        height, width = picture.shape[:2]
        whole = Square(width / 2.0, height / 2.0, float(max(height, width)), 0.0)
        seen = 2.0 * cut_out(picture, whole, _DETECTOR_SIZE) - 1.0
        boxes, logits = self._detector.run(seen, (1, len(self._anchors), 12), (1, len(self._anchors), 1))
        best = int(np.argmax(logits))
        if 1.0 / (1.0 + math.exp(-float(np.clip(logits[0, best, 0], -50.0, 50.0)))) < _DETECTED:
            return None
        points = boxes[0, best, 4:8].reshape(2, 2) / _DETECTOR_SIZE + self._anchors[best]
        return Square.about(*whole.to_picture(points))

    def _in_square(self, picture: Array, square: Square) -> Array | None:
        """Return the person in a square; the next square follows from the two further points."""
        seen = cut_out(picture, square, _LANDMARK_SIZE)
        rows, presence = self._landmarks.run(seen, (1, 195), (1, 1))
        if float(presence[0, 0]) < _TRACKED:
            self._square = None
            return None
        landmarks = rows.reshape(39, 5).astype(np.float64)
        points = square.to_picture(landmarks[:, :2] / _LANDMARK_SIZE)
        self._square = Square.about(points[33], points[34])
        scores = 1.0 / (1.0 + np.exp(-landmarks[:, 3].clip(-50.0, 50.0)))
        rows = np.concatenate([points, scores[:, None]], axis=-1)
        return np.stack([rows[list(_LANDMARKS_OF[name])].mean(axis=0) for name in JOINTS])
