"""Audio sources: microphones and music files, as mono samples at one rate with a clock."""
