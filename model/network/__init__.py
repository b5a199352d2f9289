"""The networks: the streaming dance network, the original, and what their checkpoints hold. Needs torch."""
