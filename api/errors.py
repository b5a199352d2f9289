"""Errors that the user can mend. Commands print their message, one line, and exit with code 2.

Anything else that a command raises is a bug of dancerev and shows its traceback.
"""


def reason(error: BaseException) -> str:
    """Return what an error says, in one line, without the number that the system gives it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def quoted(text: str) -> str:
    """Return a text of the user's as a message quotes it: in one line that is not too long."""
    return repr(text if len(text) <= 40 else f"{text[:37]}…")


class DancerevError(ValueError):
    """Base of all errors below. The message is one line: what is wrong and, where it helps, what to do."""


class InputError(DancerevError):
    """An audio device, a music file, a motion file or an argument that cannot be used."""


class ModelError(DancerevError):
    """A model, checkpoint or engine that cannot be loaded, exported or run."""


class ReceiverError(DancerevError):
    """A receiver that cannot exist: its host has no address, or its port is out of range."""


class CorpusError(DancerevError):
    """Motion, music or a prepared folder that cannot be trained on."""
