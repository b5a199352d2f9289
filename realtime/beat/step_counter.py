"""On which beats the dancer steps: on every one, or of fast music on every second, in fast waltzes on every third."""

from __future__ import annotations

from dataclasses import replace

from dancerev.model.features import FASTEST_STEP, BeatState

MARGIN = 1.03
"""Ratio by which the tempo must pass FASTEST_STEP, either way, for the steps to change."""
DOUBT = 8.0
"""Seconds times bar confidence after which the steps move to other beats of the bar."""
METRE_DOUBT = 4.0
"""Seconds times bar confidence after which steps of two beats become steps of three, or the other way round."""


class StepCounter:
    """Count the beats of a dance step, evenly, whatever the count of the bar does.

    A bar begins with a step. Where the count of the bar jumps, the steps go on as they were until the new count has
    lasted: a dancer who changes feet at every doubt is off the beat each time.
    """

    def __init__(self) -> None:
        self._last: BeatState | None = None
        self._doubt = 0.0
        self._in_threes = False
        self._metre_doubt = 0.0

    def count(self, beat: BeatState) -> BeatState:
        """Return ``beat`` with ``beat_in_step`` and ``beats_per_step``; call it once for every frame."""
        last = self._last
        elapsed = 0.0 if last is None else beat.time - last.time
        self._follow_metre(beat, elapsed)
        fast = 3 if self._in_threes else 2
        stepped_over = last is not None and last.beats_per_step > 1
        fastest = FASTEST_STEP / MARGIN if stepped_over else FASTEST_STEP * MARGIN
        per_step = fast if beat.bpm > fastest else 1
        in_bar = beat.beat_in_bar % per_step
        if last is None or last.beats_per_step != per_step or per_step == 1:
            in_step, self._doubt = in_bar, 0.0
        else:
            passed = round(last.phase + elapsed / beat.period - beat.phase)
            in_step = (last.beat_in_step + passed) % per_step
            if in_step == in_bar:
                self._doubt = 0.0
            else:
                self._doubt += elapsed * beat.bar_confidence
                if self._doubt > DOUBT:
                    in_step, self._doubt = in_bar, 0.0
        self._last = replace(beat, beat_in_step=in_step, beats_per_step=per_step)
        return self._last

    def _follow_metre(self, beat: BeatState, elapsed: float) -> None:
        """Step in threes in bars of three and six, once the bar has been clear for a while."""
        if (beat.beats_per_bar % 3 == 0) == self._in_threes:
            self._metre_doubt = 0.0
        else:
            self._metre_doubt += elapsed * beat.bar_confidence
            if self._metre_doubt > METRE_DOUBT:
                self._in_threes, self._metre_doubt = not self._in_threes, 0.0
