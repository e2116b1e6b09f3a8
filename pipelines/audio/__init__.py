"""From files to waveforms, segments and log-spectrograms; imports neither Beam, Arrow nor TensorFlow."""
