"""All of it again as far as audio is new: stages, state, promotion, drift, and waiting for new audio."""
