"""From the bytes of a file to blocks of samples: libsndfile and PyAV, and what a file's bytes say of it."""
