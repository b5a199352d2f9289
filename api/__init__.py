"""Live dance generation: music in from a microphone, a dancing humanoid out over OSC."""
