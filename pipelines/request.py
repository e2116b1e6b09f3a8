"""What a call of `audio-vae preprocess` asks for, and what there is to do for it."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass

from pipelines.config import DatasetConfig
from pipelines.dataset import Dataset
from pipelines.errors import SettingError, WorkError
from pipelines.options import settings
from pipelines.planning import Changes, Policy, compare
from pipelines.runs import MaxFailures
from pipelines.sources import Listing, list_sources


@dataclass(frozen=True)
class Request:
    """Inputs, an output, and how to go about it."""

    inputs: list[str]
    output: str
    options: argparse.Namespace
    config: DatasetConfig
    policy: Policy
    max_failures: MaxFailures

    @classmethod
    def of(cls, options: argparse.Namespace, base: Dataset | None) -> Request:
        """From the command's options. SettingError when they differ from those of the dataset that is there, base."""
        config = settings(options, base.config if base else None)
        if base is not None and (differences := base.config.differences(config)):
            raise SettingError(f"--output {options.output}: was made with other settings: {'; '.join(differences)}")
        policy = Policy(options.checksum, options.keep_removed, options.retry_failed)
        limit = MaxFailures() if options.max_failures is None else MaxFailures.parse(options.max_failures)
        return cls(options.inputs, options.output, options, config, policy, limit)

    def compared(self, base: Dataset | None, *, may_be_empty: bool = False) -> tuple[Listing, Changes]:
        """List the inputs, and compare them with the dataset that is there. SettingError when there is no audio."""
        listing = list_sources(self.inputs)
        if len(listing.table) == 0 and not may_be_empty:
            raise SettingError(f"INPUT {' '.join(self.inputs)}: must hold at least one audio file")
        if self.options.expected_listing not in (None, listing.digest):
            raise WorkError(f"INPUT {' '.join(self.inputs)}: has changed while this run began")
        if self.options.checksum:
            from pipelines.checksums import add_checksums

            listing = dataclasses.replace(listing, table=add_checksums(listing.table))
        return listing, compare(listing, base, self.policy, self.config)
