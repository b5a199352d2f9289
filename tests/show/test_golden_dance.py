"""The dance to the demo track stays the same: same song, same seed, same weights, same poses.

``golden_demo.json`` is written by ``python tests/show/test_golden_dance.py``. Write it again only when a change is
meant to alter the dance (new weights, another beat tracker), and say so in the commit.
"""

import json
from pathlib import Path

import numpy as np

from dancerev.model.skeleton import INDEX, forward_kinematics
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.audio.decode import decode
from dancerev.realtime.audio.sources import demo_path
from dancerev.realtime.dance_model import DanceModel, model_path
from dancerev.realtime.dancer import Dancer
from dancerev.realtime.stream import DanceStream

GOLDEN = Path(__file__).with_name("golden_demo.json")
SECONDS = 20
BONES = ("Hips", "LeftHand", "RightHand", "LeftFoot", "RightFoot")
TOLERANCE = 0.02  # metres: processors round differently


def dance():
    """(2 * SECONDS, bones, 3) metres, every half second, of the 32-bit weights with seed 7; and the beats announced."""
    stream = DanceStream(Dancer(DanceModel(str(model_path("default").with_name("default.onnx")), "cpu"), seed=7))
    poses, beats = stream.begin(), []
    samples = 0
    for block in decode(demo_path()):
        made, announced = stream.push(block)
        poses += made
        beats += announced
        samples += len(block)
        if samples > SECONDS * SAMPLE_RATE:
            break
    chosen = poses[15 : 30 * SECONDS + 1 : 15]
    rotations, root = np.array([p.rotations for p in chosen]), np.array([p.root for p in chosen])
    places = forward_kinematics(rotations, root)[0][:, [INDEX[bone] for bone in BONES]]
    return places, [beat for beat in beats if beat < SECONDS]


def test_the_demo_dance_is_the_golden_one():
    golden = json.loads(GOLDEN.read_text())
    places, beats = dance()
    np.testing.assert_allclose(beats, golden["beats"], atol=0.005)
    np.testing.assert_allclose(places, np.array(golden["places"]), atol=TOLERANCE)


if __name__ == "__main__":
    places, beats = dance()
    GOLDEN.write_text(json.dumps({"beats": np.round(beats, 4).tolist(), "places": np.round(places, 4).tolist()}) + "\n")
