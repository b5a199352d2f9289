"""From network output to a body that keeps its feet, its limits and its place, at the output rate."""
