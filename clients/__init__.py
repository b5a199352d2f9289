"""Who receives a dance: VMC/OSC senders and the preview window."""
