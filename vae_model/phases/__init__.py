"""The room of phases: from log-spectrograms, which have none, to a waveform."""
