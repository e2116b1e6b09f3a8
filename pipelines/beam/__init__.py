"""The engine: jobs on Beam, the runners that take them, and the same work without Beam for a few shards."""
