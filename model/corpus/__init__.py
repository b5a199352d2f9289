"""From motion capture and music to a training corpus: ``dancerev-prepare``."""
