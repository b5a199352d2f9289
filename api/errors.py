"""What can be wrong with what the user gave."""


class InputError(ValueError):
    """The audio input cannot be used; the message is one line that says why and, where it helps, what to do."""
