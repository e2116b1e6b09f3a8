"""A run's folder from its plan to its commit, and what becomes of it when it is killed."""
