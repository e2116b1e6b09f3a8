"""`python -m pipelines preprocess …` does what `audio-vae preprocess …` does; so do the other commands on datasets."""

import sys

from pipelines.cli import main

sys.exit(main())
