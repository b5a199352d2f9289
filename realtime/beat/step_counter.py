"""On which beats the dancer steps: on every one, or of fast music on every second."""

from __future__ import annotations

from dataclasses import replace

from dancerev.model.features import FASTEST_STEP, BeatState

MARGIN = 1.03  # by which the tempo must pass FASTEST_STEP, either way, for the steps to change
DOUBT = 8.0  # seconds times confidence in the bar, after which steps on its even beats become steps on its odd ones


class StepCounter:
    """Counts the beats of a step, evenly, whatever the count of the bar does.

    A bar begins with a step. Where the count of the bar jumps, the steps go on as they were until the new count has
    stood its ground: a dancer who changes feet at every doubt is off the beat each time.
    """

    def __init__(self) -> None:
        self._last: BeatState | None = None
        self._doubt = 0.0

    def count(self, beat: BeatState) -> BeatState:
        """``beat`` with ``beat_in_step`` and ``beats_per_step``; called once for every frame."""
        last, per_step = self._last, 1
        if beat.bpm > FASTEST_STEP * MARGIN:
            per_step = 2
        elif last is not None and beat.bpm > FASTEST_STEP / MARGIN:
            per_step = last.beats_per_step
        in_bar = beat.beat_in_bar % per_step
        if last is None or last.beats_per_step != per_step or per_step == 1:
            in_step, self._doubt = in_bar, 0.0
        else:
            passed = round(last.phase + (beat.time - last.time) / beat.period - beat.phase)
            in_step = (last.beat_in_step + passed) % per_step
            if in_step == in_bar:
                self._doubt = 0.0
            else:
                self._doubt += (beat.time - last.time) * beat.bar_confidence
                if self._doubt > DOUBT:
                    in_step, self._doubt = in_bar, 0.0
        self._last = replace(beat, beat_in_step=in_step, beats_per_step=per_step)
        return self._last
