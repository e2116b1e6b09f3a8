"""One shard built, in a child process that may crash or hang without harm."""
