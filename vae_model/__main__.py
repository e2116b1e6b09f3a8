"""`python -m vae_model COMMAND …` does what `audio-vae COMMAND …` does."""

import sys

from vae_model.cli import main

sys.exit(main())
