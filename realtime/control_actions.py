"""What each control does to a show: the one place where the table of controls meets dancers, tracker and stream."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dancerev.clients.recorders.formats import check_output
from dancerev.clients.sink import PoseSink
from dancerev.errors import InputError
from dancerev.model.features import BeatState
from dancerev.model.pose import FRAME_RATE

from .beat.tracker import FORGET_BELOW
from .body.arrangement import formation
from .dance_model import ANY_STYLE
from .performance.performance import Action
from .performance.table import CONTROLS, Value
from .show import Show

OFFSET_RATE = 0.1  # seconds of offset a second: the dance is then 10 % faster or slower
CENTRE_RADIUS, CENTRE_SECONDS = 0.6, 20.0  # the dancer is called back to within the first for at most the second

Array = npt.NDArray[np.float32]


_NEEDS = {"vigour": "vigour", "energy_follow": "vigour", "phrase": "phrase", "face": "audience"}
"""Control → the input of the network that it sets, which older weights lack."""


class ControlActions:
    """The actions of all controls on one show; what takes time is moved on by :meth:`tick`.

    Attributes:
        say: shows one line to the performer.
    """

    def __init__(
        self, show: Show, open_recorder: Callable[[str], PoseSink] | None = None, styles: Sequence[str] = ()
    ) -> None:
        """Make the actions.

        Args:
            show: the show.
            open_recorder: opens a file to record to, or the next one for "start"; InputError where it cannot.
            styles: with which the dancers were made; empty for the model's default style.
        """
        self._show, self._stream = show, show.stream
        self.say: Callable[[str], None] = lambda line: None
        self._said: set[str] = set()
        self._tracker = show.stream.extractor.tracker
        self._dancers = show.stream.dancers
        self._model = self._dancers[0].model
        self._open_recorder = open_recorder
        self._recorder: PoseSink | None = None
        self._glides: dict[str, Callable[[float], bool]] = {}
        self._blend = 2.0
        self._radius = self._dancers[0].bounds.radius
        self._face = 0.0
        self._last_tick = time.perf_counter()
        self._style_name = self._first_style = ",".join(styles) or self._model.default_style
        self._first_styles = [dancer.style.copy() for dancer in self._dancers]

    def start_values(self) -> dict[str, Value]:
        """Return the values at the start of those controls that the dancers bring with them."""
        return {"style": self._first_style, "radius": self._radius, "phrase": self._dancers[0].phrase}

    @property
    def recording(self) -> str | None:
        """Name of the file that is recorded to now."""
        return None if self._recorder is None else self._recorder.name

    def actions(self) -> dict[str, Action]:
        """Name of a control → what it does."""
        table: dict[str, Callable[..., Value]] = {
            "tap": self._tap,
            "one": self._one,
            "half": lambda value, moment: self._scale_tempo(0.5),
            "double": lambda value, moment: self._scale_tempo(2.0),
            "hold": self._hold,
            "nudge": self._nudge,
            "offset": self._offset,
            "style": self._style,
            "blend": self._set_blend,
            "vigour": lambda value, moment: self._glide("vigour", float(value)),
            "energy_follow": lambda value, moment: self._glide("energy_follow", float(value)),
            "temperature": lambda value, moment: self._glide("temperature", float(value)),
            "phrase": lambda value, moment: self._glide("phrase", float(value)),
            "seed": self._seed,
            "next": lambda value, moment: self._seed(random.randrange(2**31), moment) and None,
            "face": self._set_face,
            "centre": self._centre,
            "radius": self._set_radius,
            "fps": self._fps,
            "record": self._record,
            "marker": self._marker,
            "learn": self._learn,
            "panic": self._panic,
            "quit": self._quit,
        }
        for name in ("freeze", "rest", "blackout", "crew", "canon", "formation"):
            table[name] = lambda value, moment, name=name: self._arrange(name, value)
        table["mirror"] = self._mirror
        return dict(table)

    def check(self, name: str, value: Value) -> None:
        """Raise a ``DancerevError`` where a control will not take a value that its row allows; do nothing else."""
        if name == "style":
            self._style_named(str(value))
        elif name == "record" and value not in ("", "start", "stop"):
            check_output(Path(str(value)))
        elif name == "learn":
            self._learn(value, 0.0)

    def beat(self) -> tuple[BeatState, float] | None:
        """Return the beat and the time of the next pose to be made, for quantised controls; None without a beat."""
        frame = self._stream.last
        if frame is None or frame.beat.confidence < FORGET_BELOW:
            return None
        return frame.beat, frame.time + 2.0 / FRAME_RATE

    def next_pose_time(self) -> float:
        """Seconds of the stream's time for which the next pose will be made."""
        return (self._stream.frames + 2) / FRAME_RATE

    def begin(self, controls: Mapping[str, Value]) -> None:
        """Let the start values of controls take effect at once."""
        blend, self._blend = self._blend, 0.0
        actions = self.actions()
        for name, value in controls.items():
            if name in actions and name not in ("seed", "offset", "fps"):  # with which the dancers were made
                actions[name](value, time.perf_counter())
        self.tick()
        self._blend = blend
        places = formation(self._stream.arrangement.formation, len(self._dancers))
        for dancer, place in zip(self._dancers, places, strict=True):
            dancer.middle = place

    def tick(self) -> None:
        """Move on what takes time."""
        now = time.perf_counter()
        seconds, self._last_tick = now - self._last_tick, now
        for name, glide in list(self._glides.items()):
            if glide(seconds):
                self._glides.pop(name, None)

    # --- the beat

    def _tap(self, value: Value, moment: float) -> Value:
        self._tracker.tap(self._show.position(moment))
        return None

    def _one(self, value: Value, moment: float) -> Value:
        self._tracker.set_downbeat(self._show.position(moment))
        return None

    def _scale_tempo(self, factor: float) -> Value:
        if not self._tracker.scale_tempo(factor):
            raise InputError(f"{'half' if factor < 1.0 else 'double'}: that tempo is out of --bpm-range")
        return None

    def _hold(self, value: Value, moment: float) -> Value:
        self._tracker.hold_tempo(bool(value))
        return value

    def _nudge(self, value: Value, moment: float) -> Value:
        self._tracker.nudge(float(value or 0.0) / 1000.0)
        return value

    # --- the dance

    def _offset(self, value: Value, moment: float) -> Value:
        wanted = float(value or 0.0) / 1000.0

        def glide(seconds: float) -> bool:
            step = OFFSET_RATE * seconds
            for dancer in self._dancers:
                dancer.lead += min(max(wanted - dancer.lead, -step), step)
            return all(dancer.lead == wanted for dancer in self._dancers)

        self._glides["offset"] = glide
        return value

    def _style_named(self, text: str) -> tuple[str, list[Array]]:
        """Return the name of the style that ``text`` stands for, and the style vector of each dancer."""
        names = [*self._model.styles, ANY_STYLE]
        if text == "next":
            now = self._style_name if self._style_name in names else names[-1]
            text = names[(names.index(now) + 1) % len(names)]
        elif text.isdecimal() and text.isascii():  # the place in the list, as a row of buttons sends it
            if len(text) > 9 or int(text) >= len(names):
                raise InputError(f"style: {text[:20]} is no place in the list; there are {len(names)} styles")
            text = names[int(text)]
        if text == self._first_style:  # in which several dancers may have a style each
            wanted = self._first_styles
        else:
            wanted = [self._model.style_vector(text)] * len(self._dancers)
        return text, wanted

    def _style(self, value: Value, moment: float) -> Value:
        text, wanted = self._style_named(str(value))
        self._style_name = text
        starts = [dancer.style.copy() for dancer in self._dancers]
        self._glides["style"] = self._ramp(lambda share: self._mix(starts, wanted, share))
        return text

    def _mix(self, starts: list[Array], wanted: list[Array], share: float) -> None:
        for dancer, start, end in zip(self._dancers, starts, wanted, strict=True):
            dancer.style = (start + np.float32(share) * (end - start)).astype(np.float32)

    def _set_blend(self, value: Value, moment: float) -> Value:
        self._blend = float(value or 0.0)
        return value

    def _glide(self, attribute: str, wanted: float) -> Value:
        """Bring an attribute of every dancer to ``wanted`` within the time of the blend."""
        self._say_if_unknown(attribute)
        starts = [float(getattr(dancer, attribute)) for dancer in self._dancers]

        def mix(share: float) -> None:
            for dancer, start in zip(self._dancers, starts, strict=True):
                setattr(dancer, attribute, start + share * (wanted - start))

        self._glides[attribute] = self._ramp(mix)
        return wanted

    def _ramp(self, mix: Callable[[float], None]) -> Callable[[float], bool]:
        """Return a glide that calls ``mix`` with 0 … 1 over the time of the blend."""
        passed, duration = 0.0, self._blend

        def glide(seconds: float) -> bool:
            nonlocal passed
            passed += seconds
            mix(min(passed / duration, 1.0) if duration > 0.0 else 1.0)
            return passed >= duration

        return glide

    def _seed(self, value: Value, moment: float) -> Value:
        for index, dancer in enumerate(self._dancers):
            dancer.reseed(int(value or 0) + index)
        return value

    # --- the stage

    def _arrange(self, name: str, value: Value) -> Value:
        setattr(self._stream.arrangement, name, value)
        return value

    def _mirror(self, value: Value, moment: float) -> Value:
        self._stream.arrangement.mirror = bool(value)
        self._turn_to_face()
        return value

    def _say_if_unknown(self, name: str) -> None:
        """Say once that the weights do not react to a control."""
        if _NEEDS.get(name, "") not in ("", *self._model.controls) and name not in self._said:
            self._said.add(name)
            self.say(f"{name}: this model was trained without it, and does not react")

    def _set_face(self, value: Value, moment: float) -> Value:
        self._say_if_unknown("face")
        self._face = math.radians(float(value or 0.0))
        self._turn_to_face()
        return value

    def _turn_to_face(self) -> None:
        """Turn the dancers to where they shall face: under a mirrored dance, the other way."""
        for dancer in self._dancers:
            dancer.face = -self._face if self._stream.arrangement.mirror else self._face

    def _centre(self, value: Value, moment: float) -> Value:
        passed = 0.0
        for dancer in self._dancers:
            dancer.bounds.resize(CENTRE_RADIUS)

        def glide(seconds: float) -> bool:
            nonlocal passed
            passed += seconds
            there = all(float(np.hypot(*dancer.decoder.place)) <= CENTRE_RADIUS for dancer in self._dancers)
            if there or passed > CENTRE_SECONDS:
                self._resize()
                return True
            return False

        self._glides["centre"] = glide
        return None

    def _set_radius(self, value: Value, moment: float) -> Value:
        self._radius = float(value or 0.0)
        if "centre" not in self._glides:
            self._resize()
        return value

    def _resize(self) -> None:
        for dancer in self._dancers:
            dancer.bounds.resize(self._radius)

    def _fps(self, value: Value, moment: float) -> Value:
        self._stream.fps = int(str(value))
        return value

    # --- the show

    def _record(self, value: Value, moment: float) -> Value:
        if value in ("", "stop"):
            self._stop_recording()
            return "stop"
        if self._open_recorder is None:
            raise InputError("record: there is no recorder")
        recorder = self._open_recorder(str(value))
        self._stop_recording()
        self._recorder = recorder
        self._show.sinks.sinks.append(recorder)
        if recorder.name != str(value):  # it has a number, or a dancer's, or nobody named it
            self.say(f"recording to {recorder.name}")
        return recorder.name or str(value)

    def _stop_recording(self) -> None:
        if self._recorder is not None:
            self._show.sinks.sinks.remove(self._recorder)
            self._recorder.close()
            self.say(f"finishing {self._recorder.name}")
            self._recorder = None

    def _marker(self, value: Value, moment: float) -> Value:
        self._show.sinks.mark(self._show.position(moment), str(value))
        return value

    def _learn(self, value: Value, moment: float) -> Value:
        if value not in CONTROLS:
            raise InputError(f"learn: there is no control {str(value)[:40]!r}")
        return value

    def _panic(self, value: Value, moment: float) -> Value:
        for glide in self._glides.values():
            glide(math.inf)  # to its end
        self._glides.clear()
        self._stream.restart()
        return None

    def _quit(self, value: Value, moment: float) -> Value:
        self._show.stop()
        return None
