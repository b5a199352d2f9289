"""From a training checkpoint to a graph that a performer's machine runs."""
