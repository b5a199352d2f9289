"""What an exported step graph looks like: the contract between ``dancerev-export`` and the stage."""

from collections.abc import Iterable

FORMAT_VERSION = 4
"""Raised whenever inputs, outputs or metadata change their meaning."""

READABLE_VERSIONS = (3, FORMAT_VERSION)
"""Those with which a stage can dance. Graphs of version 3 have none of :data:`CONTROLS`."""

METADATA_KEY = "dancerev"
"""The ONNX metadata property that holds, as JSON: format_version, feature_version, features, bones, pose_size,
frame_rate, styles, default_style, vigour, codes, licence, parameters. ``vigour`` says how
large the dance is: ``reached``, for each style log2 of its speed against real dance, at each of the ``inputs``."""

CONTROLS = ("audience", "vigour", "phrase")
"""Inputs that a graph of version 4 has beyond those of version 3."""

INPUTS = ("features", "style", "stage", *CONTROLS, "noise")
"""Of :meth:`DanceNetwork.step`, in order: the fields of ``Conditions``, and the noise."""

STATE = (
    "cached_key",
    "cached_value",
    "hidden",
    "cell",
    "pose",
    "code",
    "past",
    "half",
    "prior_hidden",
    "prior_cell",
    "processed",
)
"""Fields of ``dance_network.State``, in order; each ``x`` comes out as ``new_x``. At run time the graph is asked."""

POSE_OUTPUT = "new_pose_vector"
"""The first output: the pose vector, (dancers, POSE_SIZE)."""

DANCERS = "dancers"
"""The name of the dimension along which the dancers are: the first of what is given and of the pose, another one of
some states. Fixed by whoever loads the graph."""


def state_names(inputs: Iterable[str]) -> tuple[str, ...]:
    """Which of a graph's inputs are state: all but :data:`INPUTS`."""
    return tuple(name for name in inputs if name not in INPUTS)


LIFTER_FORMAT = "lifter 1"
"""In the metadata of a lifter's graph, beside joints, bones, frame_rate and licence. Its input is ``points``, pixels
(1, 25, 2)."""

LIFTER_STATE = ("hidden", "size", "hips")
"""Fields of ``lifter.LifterState``, in order; each ``x`` comes out as ``new_x``."""

LIFTER_OUTPUTS = ("vector", "moved")
"""First outputs: (1, 135) rotations in 6-D, height, contacts; (1, 1) how the hips moved to the right, body sizes."""

PRECISIONS = ("fp32", "fp16", "int8")
"""Number formats of a graph's weights."""
