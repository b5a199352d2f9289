"""The trained network on the stage: an exported step graph in ONNX Runtime, its state kept between frames."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from dancerev.errors import ModelError
from dancerev.model.features import FEATURE_NAMES, FEATURE_VERSION
from dancerev.model.pose import FRAME_RATE, POSE_SIZE, rest_vector
from dancerev.model.skeleton import BONES
from dancerev.model.step_format import (
    CONTROLS,
    DANCERS,
    INPUTS,
    METADATA_KEY,
    POSE_OUTPUT,
    READABLE_VERSIONS,
    state_names,
)

from .providers import CPU, import_onnxruntime, load_libraries, wanted_providers
from .step_guard import StepGuard

THREADS = 1
"""One frame is too small to share out, and a second thread that spins steals time from the rest of the show."""

_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
_LARGEST_NUMBER = 1e9  # of what the metadata tell
_LARGEST = 1 << 26  # numbers in all inputs together; a sixteenth of that is more than 64 dancers take

_WARM_UP = 8  # steps: the first ones touch memory and load kernels, and are many times as slow

ANY_STYLE = "any"
"""The name of no style in particular: the style vector is zero, as in part of the training."""

MAX_WEIGHT = 1000.0
"""The largest weight of a style in a blend."""


def model_path(model: str, provider: str | None = None) -> Path:
    """Return the file of a bundled model by its name, or the path itself.

    Args:
        model: name or path.
        provider: the one that is to run it, as ONNX Runtime calls it: of a bundled model the CPU gets the variant in
            8 bits, which is faster there and, where the model's card says so, no worse.

    Raises:
        ModelError: neither; the message names the bundled ones.
    """
    bundled = Path(str(resources.files("dancerev.model") / "pretrained"))
    files = [bundled / f"{model}.onnx", Path(model)]
    if provider == CPU:
        files.insert(0, bundled / f"{model}.int8.onnx")
    for path in files:
        if path.is_file():
            return path
    names = (
        ", ".join(sorted({p.stem for p in bundled.glob("*.onnx") if p.suffixes == [".onnx"]} - {"lifter"})) or "none"
    )
    raise ModelError(f"model {model!r}: no such file, and not a bundled model ({names})")


class DanceModel:
    """The network of all dancers on stage, one step for all.

    Attributes:
        dancers: how many.
        styles: names that the style may take, beside :data:`ANY_STYLE`.
        default_style: the one that is danced where none is asked for.
        controls: those of :data:`~dancerev.model.step_format.CONTROLS` that these weights know.
        codes: how many things it can choose from to dance next.
        provider: the ONNX Runtime provider that really runs.
        note: where a provider was asked for that does not run here, one line that says so; else None.
        fault: what was wrong with the last step that was not usable, one line, or None.
    """

    def __init__(self, model: str = "default", provider: str = "auto", dancers: int = 1) -> None:
        """Load a bundled model by name or an exported file by path, for a number of dancers.

        Raises:
            ModelError: no such model, or a file of another kind or version, or for another number of dancers.
        """
        # Imported late: it takes most of the start-up time, which a mistyped option need not wait for.
        onnxruntime = import_onnxruntime()
        wanted = wanted_providers(provider)
        path = model_path(model, wanted[0][0])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_free_dimension_override_by_name(DANCERS, dancers)
        options.log_severity_level = 4
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # both print what fails; the note below says it
                load_libraries(provider)
                self._session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(f"{path}: not a model that ONNX Runtime can load ({reason})") from None
        # It falls back in silence, and lists providers that do not load: what it took is the only thing to go by.
        self.provider: str = self._session.get_providers()[0]
        self.note = None
        if self.provider != wanted[0][0]:
            asked = f"are the driver and dancerev[{provider}] installed?"
            self.note = f"{wanted[0][0]} does not load here ({asked}): {self.provider} runs instead"
        metadata = _checked_metadata(path, self._session.get_modelmeta().custom_metadata_map)
        _check_graph(path, self._session, metadata, dancers)
        self.styles: tuple[str, ...] = tuple(metadata["styles"])
        self.codes: int = metadata["codes"]
        self.default_style: str = metadata.get("default_style", ANY_STYLE)
        vigour = metadata.get("vigour") or {"inputs": [-1.0, 1.0], "reached": [[-1.0, 1.0]] * len(self.styles)}
        self._vigour_inputs = np.array(vigour["inputs"], dtype=np.float64)
        self._vigour_reached = np.array(vigour["reached"], dtype=np.float64)
        if not self._vigour_reached.any():  # never measured
            self._vigour_reached[:] = self._vigour_inputs
        self.dancers = dancers
        self._turn = 0  # which of the two states is the present one
        self.fault: str | None = None
        self._guard = StepGuard(onnxruntime, self._session)
        self._bind(onnxruntime.OrtValue.ortvalue_from_numpy)
        self._warm_up(path)

    def _warm_up(self, path: Path) -> None:
        """Step as often as it takes to be quick, and see that the graph does what it should.

        Raises:
            ModelError: a step fails, never ends, or gives poses that are not finite.
        """
        self.reset()
        try:
            for _ in range(_WARM_UP):
                pose = self._run()
        except ModelError as error:
            raise ModelError(f"{path}: not a model for this program: {error}") from None
        if not np.isfinite(pose).all():
            raise ModelError(f"{path}: not a model for this program: its poses are not finite")
        self.reset()

    def style_vector(self, style: str) -> npt.NDArray[np.float32]:
        """(styles,) float32 weights of ``NAME`` or ``NAME:WEIGHT,NAME:WEIGHT,…``, which add up to 1 at most.

        The default style's for an empty name; zero for :data:`ANY_STYLE`.

        Raises:
            ModelError: an unknown name, or a weight that is no number above 0 up to MAX_WEIGHT; the message names the
                known ones.
        """
        vector = np.zeros(len(self.styles), dtype=np.float32)
        for part in (style or self.default_style).split(","):
            name, _, weight = part.strip().partition(":")
            if name == ANY_STYLE:
                continue
            if name not in self.styles:
                raise ModelError(f"unknown style {name!r}; this model has {', '.join(self.styles)}, or {ANY_STYLE}")
            try:
                share = float(weight or 1.0)
            except ValueError:
                share = math.nan
            if not 0.0 < share <= MAX_WEIGHT:
                raise ModelError(f"style {part.strip()!r}: a weight is a number above 0, {MAX_WEIGHT:g} at most")
            vector[self.styles.index(name)] += share
        return vector / max(float(vector.sum()), 1.0)

    def vigour_input(self, style: npt.NDArray[np.float32], vigour: float) -> float:
        """Return the input that makes a dance in ``style`` (styles,) as large as ``vigour`` (log2, of real dance)."""
        total = float(style.sum())
        curve = (style @ self._vigour_reached) / total if total > 0.0 else self._vigour_reached.mean(axis=0)
        return float(np.interp(vigour, curve, self._vigour_inputs))

    def reset(self, stance: npt.NDArray[np.float32] | None = None) -> None:
        """Nothing heard, nothing danced, and the last pose is ``stance`` (dancers, POSE_SIZE); by default, at rest."""
        if stance is None:
            stance = rest_vector()[None]
        for name, zero in self._zeros.items():
            self._state[self._turn][name].update_inplace(zero + stance if name == "pose" else zero)

    def step(
        self,
        features: npt.ArrayLike,
        style: npt.ArrayLike,
        stage: npt.ArrayLike,
        audience: npt.ArrayLike,
        vigour: npt.ArrayLike,
        phrase: npt.ArrayLike,
        noise: npt.ArrayLike,
    ) -> npt.NDArray[np.float32]:
        """Return the pose vectors (dancers, POSE_SIZE), one frame ahead; a view that the next step but one overwrites.

        What is given has a row for each dancer, or is one for all. What the weights do not know is left out.

        Args:
            features: (dancers, FEATURE_SIZE) from :func:`~dancerev.model.features.network_input`.
            style: (dancers, styles) weights.
            stage: (dancers, 2) the stage centre in the dancer's facing frame, metres.
            audience: (dancers, 2) the direction to the audience in that frame, a unit vector or 0.
            vigour: (dancers, 1) log2 of how large the dance is to be against real dance of the style.
            phrase: (dancers, 1) how strictly the phrase before, eight counts ago, comes again now, 0 … 1.
            noise: (dancers, codes) Gumbel noise times the temperature: the draw that decides what to dance next where
                due.
        """
        given = (features, style, stage, audience, vigour, phrase, noise)
        for name, rows in zip(INPUTS, given, strict=True):
            if name in self._inputs:
                staged, value = self._inputs[name]
                staged[...] = rows
                value.update_inplace(staged)
        return self._run()

    def _run(self) -> npt.NDArray[np.float32]:
        self._guard.run(self._bindings[self._turn])
        pose = self._poses[self._turn]
        self._turn = 1 - self._turn
        return pose

    def _bind(self, on_device: Callable[..., Any]) -> None:
        """Two bindings that swap the roles of old and new state, so that nothing is copied or allocated in a step.

        State and inputs live where the provider computes: what is bound from elsewhere would be copied there once and
        for all, at the binding.
        """
        device = ("cpu" if self.provider == CPU else "cuda", 0)
        zeros = {x.name: np.zeros(x.shape, _TYPES[x.type]) for x in self._session.get_inputs()}
        self.controls = frozenset(name for name in CONTROLS if name in zeros)
        self._inputs = {name: (zeros[name], on_device(zeros[name].copy(), *device)) for name in INPUTS if name in zeros}
        self._zeros = {name: zeros[name] for name in state_names(zeros)}
        self._state = [{name: on_device(zero.copy(), *device) for name, zero in self._zeros.items()} for _ in range(2)]
        self._poses = [np.zeros((self.dancers, POSE_SIZE), dtype=np.float32) for _ in range(2)]
        self._bindings: list[Any] = []
        for turn in range(2):
            binding = self._session.io_binding()
            for name, (_, value) in self._inputs.items():
                binding.bind_ortvalue_input(name, value)
            for name in self._zeros:
                binding.bind_ortvalue_input(name, self._state[turn][name])
                binding.bind_ortvalue_output(f"new_{name}", self._state[1 - turn][name])
            binding.bind_ortvalue_output(POSE_OUTPUT, on_device(self._poses[turn], "cpu", 0))
            self._bindings.append(binding)


def _checked_metadata(path: Path, properties: dict[str, str]) -> dict[str, Any]:
    """Return the metadata of a step graph, or :class:`ModelError` if this program cannot dance with it."""
    if METADATA_KEY not in properties:
        raise ModelError(f"{path}: an ONNX file, but not one of dancerev-export")
    try:
        metadata = json.loads(properties[METADATA_KEY])
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise ModelError(f"{path}: not a model for this program: its metadata is no JSON object")
    expected = {
        "feature_version": FEATURE_VERSION,
        "features": list(FEATURE_NAMES),
        "bones": list(BONES),
        "pose_size": POSE_SIZE,
        "frame_rate": FRAME_RATE,
    }
    if metadata.get("format_version") not in READABLE_VERSIONS:
        shown = f"{_short(metadata.get('format_version'))}, this program needs {READABLE_VERSIONS[-1]}"
        raise ModelError(f"{path}: made for another format version {shown}; export it again")
    for name, value in expected.items():
        if metadata.get(name) != value:
            shown = "" if isinstance(value, list) else f" {_short(metadata.get(name))}, this program needs {value}"
            raise ModelError(f"{path}: made for another {name.replace('_', ' ')}{shown}; export it again")
    styles, codes, vigour = metadata.get("styles"), metadata.get("codes"), metadata.get("vigour")
    reason = None
    if not (isinstance(styles, list) and styles and all(isinstance(name, str) and name for name in styles)):
        reason = "it names no styles"
    elif len(set(styles)) != len(styles):
        reason = "it names a style twice"
    elif not (isinstance(codes, int) and not isinstance(codes, bool) and codes > 0):
        reason = f"it has {_short(codes)} codes"
    elif metadata.get("default_style", ANY_STYLE) not in (*styles, ANY_STYLE):
        reason = f"its default style {_short(metadata['default_style'])} is none of its styles"
    elif vigour and not _is_calibration(vigour, len(styles)):
        reason = "its vigour is no calibration of each style"
    if reason:
        raise ModelError(f"{path}: not a model for this program: {reason}")
    return metadata


def _is_calibration(vigour: object, styles: int) -> bool:
    """Whether ``vigour`` holds rising ``inputs``, and for each style as many numbers ``reached``."""
    if not isinstance(vigour, dict):
        return False
    inputs, reached = vigour.get("inputs"), vigour.get("reached")
    if not isinstance(inputs, list) or not isinstance(reached, list) or len(reached) != styles:
        return False
    rows = [inputs, *reached]
    return len(inputs) > 1 and all(
        isinstance(row, list) and len(row) == len(inputs) and all(map(_is_number, row)) for row in rows
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < _LARGEST_NUMBER


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _check_graph(path: Path, session: Any, metadata: dict[str, Any], dancers: int) -> None:
    """Hold the inputs and outputs of a graph against the contract, before anything of their sizes is allocated.

    Raises:
        ModelError: they differ; the message names the first that does.
    """

    def refuse(reason: str) -> NoReturn:
        raise ModelError(f"{path}: not a model for this program: {reason}")

    inputs, outputs = ({x.name: x for x in side} for side in (session.get_inputs(), session.get_outputs()))
    # The style comes first: its rows tell a graph for another number of dancers from a wrong one.
    widths = {"style": len(metadata["styles"]), "features": len(FEATURE_NAMES), "stage": 2, "noise": metadata["codes"]}
    widths |= {name: width for name, width in (("audience", 2), ("vigour", 1), ("phrase", 1)) if name in inputs}
    size = 0
    for name, x in inputs.items():
        if x.type not in _TYPES:
            refuse(f"input {_short(name)} is a {x.type}")
        if not all(isinstance(length, int) and length >= 0 for length in x.shape):
            refuse(f"input {_short(name)} has no fixed shape")
        size += math.prod(x.shape)
    if size > _LARGEST:
        refuse(f"its inputs hold {size:.1e} numbers")
    for name, width in widths.items():
        if name not in inputs:
            refuse(f"it has no input {name!r}")
        rows = inputs[name].shape[0] if inputs[name].shape else 0
        if name == "style" and len(inputs[name].shape) == 2 and rows != dancers:
            raise ModelError(f"{path}: dances with {rows} at a time, not with {dancers}; export it again")
        if inputs[name].shape != [dancers, width] or inputs[name].type != "tensor(float)":
            refuse(f"input {name!r} is {inputs[name].type} {inputs[name].shape}, not tensor(float) {[dancers, width]}")
    if "pose" not in inputs or inputs["pose"].shape != [dancers, POSE_SIZE]:
        refuse("its state has no pose of this body")
    for name in state_names(inputs):
        out = outputs.get(f"new_{name}")
        if out is None or out.type != inputs[name].type or len(out.shape) != len(inputs[name].shape):
            refuse(f"state {_short(name)} does not come out as it goes in")
    pose = outputs.get(POSE_OUTPUT)
    if pose is None or pose.type != "tensor(float)" or pose.shape != [dancers, POSE_SIZE]:
        refuse(f"it has no output {POSE_OUTPUT!r} of {[dancers, POSE_SIZE]}")
