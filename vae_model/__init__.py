"""The model side of audio-vae: a dataset becomes a trained autoencoder or VAE, and latents become sound."""
