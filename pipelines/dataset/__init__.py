"""The dataset folder and its records: written and read, described and checked."""
