"""What a performer can do while it dances: one table of controls, and the surfaces that reach it."""

from .performance import Change, Performance
from .table import CONTROLS, Control, Value

__all__ = ["CONTROLS", "Change", "Control", "Performance", "Value"]
