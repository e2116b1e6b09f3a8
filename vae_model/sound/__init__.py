"""Spectrograms and latents to sound, and sound to latents."""
