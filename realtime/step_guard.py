"""A limit on the time of one step of the network, so that a graph that never ends cannot stop a show."""

from __future__ import annotations

import threading
import time
import weakref
from types import ModuleType
from typing import Any

from dancerev.errors import ModelError

MOST_SECONDS = 1.0
"""Of processor time; a computer that is busy with other things may take longer."""
MOST_WAITING = 10.0  # seconds in all, for a graphics card that does not answer
_LOOK = 0.25  # seconds from look to look


class StepGuard:
    """Runs a session's steps, and gives up one that takes too long."""

    def __init__(self, onnxruntime: ModuleType, session: Any) -> None:
        """Guard a session."""
        self._onnxruntime, self._session = onnxruntime, session
        self._options = onnxruntime.RunOptions()
        self._options.log_severity_level = 4
        self._began: tuple[float, float] | None = None  # wall and processor time of the step that runs
        self._given_up = False
        # The thread must not keep the session alive: it ends when the guard is gone.
        threading.Thread(target=_watch, args=(weakref.ref(self),), name="step guard", daemon=True).start()

    def run(self, binding: Any) -> None:
        """Run one step.

        Raises:
            ModelError: it took too long, or failed.
        """
        self._began = time.perf_counter(), time.process_time()
        try:
            self._session.run_with_iobinding(binding, self._options)
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            if self._given_up:
                self._given_up = False
                self._options = self._onnxruntime.RunOptions()
                self._options.log_severity_level = 4
                raise ModelError(f"one step of the network takes more than {MOST_SECONDS:g} s") from None
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(f"a step of the network fails ({reason})") from None
        finally:
            self._began = None

    def give_up_late_step(self) -> None:
        """End the step that runs, where it takes too long."""
        began = self._began
        if began is None:
            return
        waited, worked = time.perf_counter() - began[0], time.process_time() - began[1]
        if (worked > MOST_SECONDS or waited > MOST_WAITING) and self._began is began:
            self._given_up = True
            self._options.terminate = True


def _watch(guarded: weakref.ref[StepGuard]) -> None:
    while (guard := guarded()) is not None:
        guard.give_up_late_step()
        del guard
        time.sleep(_LOOK)
