"""The live stream: audio source → features and beat → dance model → post-processing → interpolation."""
