"""Beat trackers: the phase, tempo and bar of the music, and what follows from them."""
