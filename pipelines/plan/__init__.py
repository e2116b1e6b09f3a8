"""What a run has to do: what is new, cut into shards, and how much that is."""
