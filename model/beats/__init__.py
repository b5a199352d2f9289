"""Training of the beat network. Needs torch."""
