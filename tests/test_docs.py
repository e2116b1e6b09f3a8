"""Every example in the documentation of the format runs, and the readers agree with each other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.config import PRESETS, DatasetConfig
from pipelines.dataset import open_dataset
from pipelines.planning import split_of
from pipelines.spectrogram import LogSpectrogramExtractor, MinMaxNormaliser
from tests_support import audio_vae_json  # replaced below
