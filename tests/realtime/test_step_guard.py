"""The guard of a session's steps holds neither the session nor a thread when the model is gone."""

import threading
import types
import weakref

from dancerev.realtime.step_guard import StepGuard


class Session:
    """Stands for a session of ONNX Runtime."""


def test_a_guard_that_is_gone_leaves_no_thread_and_no_session():
    before = set(threading.enumerate())
    session = Session()
    guard = StepGuard(types.SimpleNamespace(RunOptions=types.SimpleNamespace), session)
    (thread,) = set(threading.enumerate()) - before
    gone = weakref.ref(session)
    del guard, session
    thread.join(30.0)
    assert not thread.is_alive()
    assert gone() is None
