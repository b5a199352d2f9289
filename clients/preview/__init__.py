"""A window that shows a dance. It receives VMC like any avatar program."""
