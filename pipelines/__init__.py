"""The data side of audio-vae: audio files become a dataset of normalised log-spectrograms in TFRecord."""
