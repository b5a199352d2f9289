"""The dance styles that the bundled weights know."""

STYLES: tuple[str, ...] = ("street", "pop", "salsa", "indian", "modern", "martial")
"""In the order in which the network knows them."""

DEFAULT_STYLE = "street"
"""Danced where none is asked for."""
