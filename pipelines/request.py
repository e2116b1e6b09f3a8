"""What a call of `audio-vae preprocess` asks for: inputs, an output, settings of the records, and how the run works."""

from __future__ import annotations

import os
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.audio.limits import RUN, SourceLimits
from pipelines.audio.wanted import Wanted
from pipelines.config import PRESETS, DatasetConfig, allow_feature
from pipelines.errors import SettingError, require, shortened
from pipelines.plan.policy import MaxFailures, Policy
from pipelines.plan.tasks import SHARD_MB
from pipelines.settings import Spelling, at, check_settings, checked_values, positive, settable, setting, with_values
from pipelines.store.paths import local_path

DEFAULT = "default"
PRESET_KEY = "preset"
_REACHABLE = "on a store that other processes can reach"


def _read_patterns(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value)


_PATTERNS = Spelling(_read_patterns, "like *.wav or takes/*", lambda value: ",".join(value) or "all", repeated=True)


@dataclass(frozen=True)
class RunOptions(SourceLimits):
    """How a run works, without an effect on what is in a record. What `setting` makes is a flag and a key of a file."""

    workers: int | None = setting(
        None, RUN, "local worker processes", metavar="N", unset="all cores", check=positive("number", int)
    )
    shard_mb: float = setting(
        SHARD_MB, RUN, "size of a shard of many records", metavar="MB", check=positive("number of megabytes")
    )
    decode_timeout_seconds: float = setting(
        60.0,
        RUN,
        "a file whose decoder gives no sign of life for so long has failed",
        metavar="S",
        check=positive("number of seconds"),
    )
    max_failures: MaxFailures = setting(
        MaxFailures(),
        RUN,
        "commit nothing past so many failures",
        metavar="N|P%",
        spelling=Spelling(MaxFailures.read, "a count like 10 or a percentage like 2.5%", str),
    )
    include: tuple[str, ...] = setting(
        (), RUN, "only files like *.wav or takes/*; may be repeated", metavar="PATTERN", spelling=_PATTERNS
    )
    exclude: tuple[str, ...] = setting(
        (), RUN, "no files or folders like these; may be repeated", metavar="PATTERN", spelling=_PATTERNS
    )
    checksum: bool = setting(False, RUN, "compare files by content, not by time stamp")
    keep_removed: bool = setting(False, RUN, "keep records of removed files")
    retry_failed: bool = setting(False, RUN, "try failed files again")
    keep_duplicates: bool = setting(False, RUN, "write files of equal content too, all in the split of the first")

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def limits(self) -> SourceLimits:
        """What a source is let be."""
        return SourceLimits(self.max_source_seconds, self.max_over_full_scale_db, self.strict)

    @property
    def wanted(self) -> Wanted:
        """Which of the files in folders are looked at."""
        return Wanted(self.include, self.exclude)

    @property
    def policy(self) -> Policy:
        """What the run does with sources that it knows."""
        return Policy(self.checksum, self.keep_removed, self.retry_failed, self.keep_duplicates)


@dataclass(frozen=True)
class Request:
    """What is asked for; `update.py` does it.

    preset, settings: of the records, settings by their names over those of the preset; each is checked, and together
    they are when it is known what they go over. run: how the run works. beam_flags: Beam's own options.
    expected_listing: digest that the listing of the inputs must have. verbose: whether Beam's log is shown. advises:
    whether a line says which preset would keep more of the recordings.
    """

    inputs: tuple[str, ...]
    output: str
    preset: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    run: RunOptions = RunOptions()
    beam_flags: tuple[str, ...] = ()
    expected_listing: str | None = None
    verbose: bool = False
    advises: bool = False

    @classmethod
    def of(cls, inputs: Sequence[str], output: str, values: Mapping[str, Any], where: str = "", **more: Any) -> Request:
        """From the preset and the settings of records and run, by their names, as YAML or Python give them.

        where: the file they come from, for errors. more: the fields that are not made of them. SettingError names the
        setting, the rule and the value, and the nearest one when there is none of the name.
        """
        preset = values.get(PRESET_KEY)
        if preset is not None and (not isinstance(preset, str) or preset not in PRESETS):
            raise at(where, SettingError(f"{PRESET_KEY}={shortened(preset)} must be one of {', '.join(PRESETS)}"))
        named = {name: value for name, value in values.items() if name != PRESET_KEY}
        parts = PRESETS[preset or DEFAULT].parts
        checked = checked_values((*parts, RunOptions()), named, where)
        own = {name: value for name, value in checked.items() if name in settable(RunOptions)}
        run: RunOptions = with_values((RunOptions(),), own, where)[0]
        settings = {name: value for name, value in checked.items() if name not in own}
        if "feature" in settings:
            allow_feature(settings["feature"])  # a flag or the user's own file asks for it
        if preset is not None:  # else they may go over those of a dataset
            PRESETS[preset].replaced(settings, where)
        places = tuple(inputs), output.rstrip("/") or output
        return cls(*places, preset, types.MappingProxyType(settings), run, **more)

    def config(self, existing: DatasetConfig | None) -> DatasetConfig:
        """The settings asked for: those of the preset, else of the dataset that is there, else the default, then these.

        SettingError when they differ from those of the dataset, or name code as a feature that is not asked for here.
        """
        from pipelines.audio.features import settled

        base = PRESETS[self.preset] if self.preset else existing or PRESETS[DEFAULT]
        config = settled(base.replaced(self.settings))
        if existing is not None and (differences := existing.differences(config)):
            raise SettingError(f"--output {self.output}: was made with other settings: {'; '.join(differences)}")
        return config

    @property
    def chooses_sound(self) -> bool:
        """Whether something in it says what is to be kept of a recording: a preset, a rate, channels."""
        return self.preset not in (None, DEFAULT) or not {"sample_rate", "channels"}.isdisjoint(self.settings)

    @property
    def given(self) -> dict[str, Any]:
        """What was asked for by name, as JSON values: the preset, settings of the records, and those of the run."""
        own = {name: getattr(self.run, name) for name in settable(RunOptions)}
        own = {name: value for name, value in own.items() if value != getattr(RunOptions(), name)}
        if "max_failures" in own:
            own["max_failures"] = str(own["max_failures"])
        return ({} if self.preset is None else {PRESET_KEY: self.preset}) | dict(self.settings) | own

    def require_places(self) -> None:
        """SettingError when an input or the output is at a place that can't do."""
        path = local_path(self.output)
        require(path is None or not os.path.isfile(path), "--output", self.output, "a folder")
        for uri in (*self.inputs, self.output):
            require(not uri.startswith("memory://"), "INPUT and --output", uri, _REACHABLE)


SETTINGS = (*PRESETS[DEFAULT].parts, RunOptions())
"""All settings of a request, with their values where nothing is asked for."""
