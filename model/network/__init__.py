"""The networks: the streaming dance network, the original Dance Revolution, and what their checkpoints hold. Needs torch."""
