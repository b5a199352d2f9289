"""The table of controls. A control's OSC address, key, MIDI name, web name and cue name all derive from its row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from dancerev.errors import InputError

Value = bool | int | float | str | None
"""What a control can hold; None is that of a trigger, which holds nothing."""

LONGEST_TEXT = 1000  # characters

_ON = {"on", "true", "yes", "1"}
_OFF = {"off", "false", "no", "0", ""}


@dataclass(frozen=True)
class Control:
    """One row of the table.

    Attributes:
        name: the OSC address is ``/dancerev/NAME``; the other surfaces use the name itself.
        kind: what the argument is; a trigger has none.
        help: one short line.
        default: the value at the start, where no option says otherwise.
        low: least value of a number.
        high: largest value of a number.
        unit: of a number.
        choices: of a choice.
        key: keys in the terminal, each a key and the argument that it sends.
        quantisable: whether it may wait for the next beat or bar.
        momentary: a value that acts once and then falls back to the default.
    """

    name: str
    kind: Literal["trigger", "switch", "number", "integer", "choice", "text"]
    help: str
    default: Value = None
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    choices: tuple[str, ...] = ()
    key: tuple[tuple[str, Value], ...] = ()
    quantisable: bool = False
    momentary: bool = False

    def parse(self, raw: object, now: Value) -> Value:
        """Return the value that ``raw``, which came from a surface, stands for.

        Args:
            raw: a number, a bool, a text or None. None toggles a switch and chooses the next choice.
            now: the value that the control has.

        Raises:
            InputError: it stands for none; the message says what the control takes.
        """
        match self.kind:
            case "trigger":
                is_on(self.name, raw)
                return None
            case "switch":
                return not now if raw is None else is_on(self.name, raw)
            case "number" | "integer":
                return self._number(raw)
            case "choice":
                return self._choice(raw, now)
        text = "" if raw is None else str(raw).strip()
        if not isinstance(raw, str | int | float | None):
            raise InputError(f"{self.name}: {_shown(raw)} is no text")
        if len(text) > LONGEST_TEXT or not (text.isprintable()):
            raise InputError(f"{self.name}: that is no text of at most {LONGEST_TEXT} characters")
        return text

    def scaled(self, share: float) -> Value:
        """Return the value at ``share`` (0 … 1) of the range, for a knob or a fader."""
        match self.kind:
            case "trigger":
                return None
            case "switch":
                return share >= 0.5
            case "choice":
                return self.choices[min(int(share * len(self.choices)), len(self.choices) - 1)]
            case "integer":
                return round(self.low + share * (self.high - self.low))
        return self.low + share * (self.high - self.low)

    def share(self, value: Value) -> float:
        """Where ``value`` is in the range, 0 … 1; the inverse of :meth:`scaled`."""
        match self.kind:
            case "choice":
                return (self.choices.index(str(value)) + 0.5) / len(self.choices)
            case "number" | "integer" if isinstance(value, int | float):
                return (value - self.low) / (self.high - self.low)
        return 1.0 if value else 0.0

    def _number(self, raw: object) -> int | float:
        try:
            number = float(raw if isinstance(raw, int | float | str) else "")
        except (ValueError, OverflowError):
            number = math.nan
        whole = self.kind == "integer"
        if not self.low <= number <= self.high or (whole and number != int(number)):
            kind = "a whole number" if whole else "a number"
            unit = f" {self.unit}" if self.unit else ""
            raise InputError(f"{self.name}: {_shown(raw)} is not {kind} from {self.low:g} to {self.high:g}{unit}")
        return int(number) if whole else number

    def _choice(self, raw: object, now: Value) -> str:
        if raw is None:
            return self.choices[(self.choices.index(str(now)) + 1) % len(self.choices)]
        text = f"{raw:g}" if isinstance(raw, float) else str(raw).strip().lower()
        if text not in self.choices:
            raise InputError(f"{self.name}: {_shown(raw)} is none of {', '.join(self.choices)}")
        return text


def is_on(name: str, raw: object) -> bool:
    """Whether what a surface sent stands for "pressed" or "on".

    Raises:
        InputError: for what says neither; ``name`` is that of the control.
    """
    if isinstance(raw, str):
        text = raw.strip().lower()
        if text in _ON:
            return True
        if text in _OFF:
            return False
        try:
            raw = float(text)
        except ValueError:
            raise InputError(f"{name}: {_shown(raw)} is neither on nor off") from None
    if raw is not None and not isinstance(raw, int | float):
        raise InputError(f"{name}: {_shown(raw)} is neither on nor off")
    return raw is None or bool(raw)


def _shown(raw: object) -> str:
    text = repr(raw)
    return text if len(text) <= 40 else f"{text[:37]}…"


_ROWS = (
    Control("tap", "trigger", "a beat falls now; three taps set the tempo", key=(("t", None), (" ", None))),
    Control("one", "trigger", "this beat begins a bar", key=(("1", None),)),
    Control("half", "trigger", "half the tempo", key=(("h", None),)),
    Control("double", "trigger", "double the tempo", key=(("d", None),)),
    Control("hold", "switch", "keep the tempo, whatever the music does", False, key=(("k", None),)),
    Control(
        "nudge",
        "number",
        "move the beat later (or earlier, below 0)",
        0.0,
        -200.0,
        200.0,
        "ms",
        key=((",", -10.0), (".", 10.0)),
        momentary=True,
    ),
    Control("offset", "number", "dance ahead of the beat", 0.0, -500.0, 500.0, "ms"),
    Control("style", "text", "NAME, NAME:WEIGHT,NAME:WEIGHT or any", "", key=(("s", "next"),), quantisable=True),
    Control("blend", "number", "time in which another style, vigour or temperature comes", 2.0, 0.0, 30.0, "s"),
    Control("vigour", "number", "size of the movement", 1.0, 0.0, 1.5, key=(("+", "+"), ("-", "-")), quantisable=True),
    Control("energy_follow", "number", "how much the music's energy drives the vigour", 1.0, quantisable=True),
    Control("temperature", "number", "likely (0) or bold (above 1) choices", 1.0, 0.0, 1.5, quantisable=True),
    Control("phrase", "number", "how often a figure of 8 counts is danced twice", 0.5, quantisable=True),
    Control("seed", "integer", "another seed, another dance", 0, 0, 2**31 - 1, quantisable=True),
    Control("next", "trigger", "another dance from here on", key=(("n", None),), quantisable=True),
    Control("freeze", "switch", "hold the pose", False, key=(("f", None),), quantisable=True),
    Control("rest", "switch", "come to rest", False, key=(("r", None),), quantisable=True),
    Control("blackout", "switch", "park at the centre in the rest pose", False, key=(("b", None),), quantisable=True),
    Control("mirror", "switch", "dance mirrored", False, key=(("m", None),), quantisable=True),
    Control("face", "number", "direction of the audience; 0 is ahead", 0.0, -180.0, 180.0, "degrees"),
    Control("centre", "trigger", "dance back to the centre", key=(("c", None),), quantisable=True),
    Control("radius", "number", "of the stage", 2.5, 0.5, 10.0, "m"),
    Control("fps", "choice", "poses a second", "30", choices=("30", "60")),
    Control(
        "crew",
        "choice",
        "how several dancers relate",
        "free",
        choices=("free", "unison", "canon", "mirror"),
        key=(("w", None),),
        quantisable=True,
    ),
    Control("canon", "number", "delay from dancer to dancer", 2.0, 0.25, 8.0, "beats"),
    Control(
        "formation",
        "choice",
        "where several dancers stand",
        "line",
        choices=("line", "v", "circle", "together"),
        key=(("o", None),),
        quantisable=True,
    ),
    Control("quantise", "choice", "when the above take effect", "now", choices=("now", "beat", "bar")),
    Control("record", "text", "start, stop, or the file to record to", "stop"),
    Control("marker", "text", "set a marker, and start cues that wait for it", "", momentary=True),
    Control("learn", "text", "the next MIDI note or knob gets this control", "", momentary=True),
    Control("panic", "trigger", "a safe pose at once, and every control as at the start", key=(("p", None),)),
    Control("quit", "trigger", "end the show; the key has to be pressed twice", key=(("q", None),)),
)

CONTROLS: dict[str, Control] = {row.name: row for row in _ROWS}
"""Name → control, in the order in which they are listed."""
