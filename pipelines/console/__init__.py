"""What a person at a terminal sees: one live line, lengths of time in words, signals as Ctrl-C."""
