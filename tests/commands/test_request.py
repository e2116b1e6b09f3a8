"""What `audio-vae preprocess` may be asked for, on the command line and in Python, and what a mistake in it gets."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pipelines.commands import preprocess as command
from pipelines.config import PRESETS, AudioConfig, DatasetConfig
from pipelines.errors import SettingError
from pipelines.plan.policy import MaxFailures
from pipelines.request import SETTINGS, Request, RunOptions
from pipelines.settings import settable
from pipelines.update import preprocess, what_is_new

PLACES = ["gs://bucket/in", "--output", "gs://bucket/out"]
NAMES = [name for part in SETTINGS for name in settable(part)]


def request(*flags: str) -> Request:
    """What a command line asks for."""
    return command.request_of(*command.parse_options([*PLACES, *flags]))


def help_text(*flags: str) -> str:
    return " ".join(command.parser(preset=flags[0] if flags else "default").format_help().split())


def test_every_setting_is_a_flag_that_the_help_shows_once_with_its_default() -> None:
    text = help_text("speech")
    for part in SETTINGS:
        for name, field in settable(part).items():
            flag = f"--{name.replace('_', '-')}"
            assert len(re.findall(rf"(?<=[ ,]){flag}(?=[ ,])", text)) == 1, flag
            assert field.metadata["help"].replace("%", "") in text.replace("%", ""), name
            assert f"--{name} " not in text or "_" not in name
    for shown in (
        "one STFT window to the next (default: 93)",
        "resampled to it (default: 8000)",
        "(default: all cores)",
    ):
        assert shown in text
    assert "(default: test=0.1,validation=0.1)" in help_text("tiny")


def test_help_on_the_console_takes_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["--help", "--preset", "tiny"])
    assert caught.value.code == 0
    assert "length of a segment (default: 1.02)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("sample-rate", "8000"),
        ("hop-length", "100"),
        ("top-db", "60.5"),
        ("pad-mode", "edge"),
        ("split-pattern", "test=^a=b"),
        ("label-pattern", "(?P<digit>[0-9])"),
        ("shard-mb", "3"),
        ("decode-timeout-seconds", "5"),
        ("max-failures", "2.5%"),
        ("keep-removed", None),
        ("retry-failed", None),
    ],
)
def test_a_flag_is_written_with_dashes_or_underscores(flag: str, value: str | None) -> None:
    words = [[f"--{name}"] + ([] if value is None else [value]) for name in (flag, flag.replace("-", "_"))]
    one, other = (request(*spelled) for spelled in words)
    assert one == other != request()


def test_the_other_flags_are_written_both_ways_too() -> None:
    for words in (["--no-wait", "--dry-run"], ["--no_wait", "--dry_run_plan"]):
        options, beam_flags = command.parse_options([*PLACES, *words])
        assert (options.no_wait, options.dry_run_plan, beam_flags) == (True, True, [])
    assert command.parse_options([*PLACES, "--dry_run"])[1] == ["--dry_run"]  # Beam's


def test_flags_become_typed_settings() -> None:
    words = [
        "--preset=tiny",
        "--split=none",
        "--split-pattern=test=_0",
        "--split_pattern=held=_1",
        "--segment-seconds=1",
    ]
    asked = request(*words, "--workers=2", "--max-failures=3", "--checksum", "--runner=FlinkRunner", "--verbose")
    patterns = (("test", "_0"), ("held", "_1"))
    assert asked.settings == {"segment_seconds": 1.0, "split": (), "split_pattern": patterns}
    assert asked.run == RunOptions(workers=2, max_failures=MaxFailures(3), checksum=True)
    assert (asked.inputs, asked.output, asked.preset) == (("gs://bucket/in",), "gs://bucket/out", "tiny")
    assert (asked.beam_flags, asked.verbose) == (("--runner=FlinkRunner",), True)
    with pytest.raises(AttributeError):
        asked.output = "elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hop-lenght", "3"], "--hop-lenght must be an argument of this command: did you mean --hop-length?"),
        (["--hop_lenght=3"], "did you mean --hop-length?"),
        (["--runer", "FlinkRunner"], "--runer must be an argument of this command: did you mean --runner?"),
        (["--colour-of-the-sky", "--workers", "3"], "--colour-of-the-sky must be an argument of this command\n"),
        (["--sample-rate", "22050.5"], "argument --sample-rate: '22050.5' must be an integer"),
        (["--split", "test"], "argument --split: 'test' must be like validation=0.1,test=0.1, or none"),
        (["--split-pattern", "test"], "argument --split-pattern: 'test' must be like test=EXPRESSION"),
        (["--max-failures", "few"], "argument --max-failures: 'few' must be a count like 10 or a percentage like 2.5%"),
    ],
)
def test_a_mistyped_flag_is_named(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main([*PLACES, *flags])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hop_length": 256.5}, "hop_length=256.5 must be an integer"),
        ({"hop_length": 0}, "hop_length=0 must be a positive number of samples"),
        ({"frame_size": 511}, "frame_size=511 must be an even number of samples, at least 2"),
        ({"sample_rate": 10**400}, "must be a positive number of Hz"),
        ({"segment_seconds": float("nan")}, "segment_seconds=nan must be a positive number of seconds"),
        ({"pad_mode": "mirror"}, "pad_mode='mirror' must be one of constant"),
        ({"label_pattern": "("}, "label_pattern='(' must be a regular expression"),
        ({"label_pattern": "(.)"}, "must be an expression with named groups"),
        ({"split": {"train": 0.1}}, "split='train' must be another split than train"),
        ({"split_pattern": 3}, "split_pattern=3 must be like test=EXPRESSION"),
        ({"max_failures": -1}, "max_failures=-1 must be a count like 10"),
        ({"workers": True}, "workers=True must be an integer or nothing"),
        ({"hop_lenght": 3}, "hop_lenght must be a setting: did you mean hop_length?"),
        ({"preset": "tinny"}, "preset='tinny' must be one of default, course, speech, music, tiny"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused_before_anything_is_made(
    values: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingError) as caught:
        preprocess(tmp_path, tmp_path / "dataset", **values)  # type: ignore[arg-type]
    assert message in str(caught.value)
    with pytest.raises(SettingError, match=r"^job\.yaml: preprocess: "):
        Request.of(["in"], "out", values, "job.yaml: preprocess")
    assert os.listdir(tmp_path) == []


def test_settings_without_a_preset_go_over_those_of_the_dataset() -> None:
    asked = Request.of(["in"], "out", {"segment_hop_seconds": 2})
    base = DatasetConfig(AudioConfig(segment_seconds=4, segment_hop_seconds=2))
    assert asked.config(base) == base
    with pytest.raises(SettingError, match=r"segment_hop_seconds=2\.0 must be at most segment_seconds=0\.74"):
        asked.config(None)
    other = DatasetConfig(AudioConfig(segment_seconds=4))
    with pytest.raises(SettingError, match=r"made with other settings: segment_hop_seconds: None != 2\.0"):
        asked.config(other)
    assert Request.of(["in"], "out", {"preset": "tiny"}).config(None) == PRESETS["tiny"]


def test_a_job_page_shows_what_was_asked_for() -> None:
    from pipelines.beam.launch import preprocess_options

    words = ["--preset=tiny", "--hop-length=128", "--split=test=0.5", "--workers=2", "--max-failures=5%", "--checksum"]
    asked = request(*words, "--streaming")
    shown = preprocess_options(asked, list(asked.beam_flags)).display_data()
    ours = {name: shown.get(name) for name in ["preset", *NAMES] if name in shown}
    wanted = {"preset": "tiny", "hop_length": 128, "split": (("test", 0.5),), "workers": 2}
    assert ours == wanted | {"max_failures": "5%", "checksum": True}
    assert shown["streaming"]


def test_the_fingerprints_of_the_presets_stay() -> None:
    """Datasets that were made with them before must be taken for what they are."""
    known = {"default": "d6a59c05332b7581", "course": "2976e49584e646ec"}
    known |= {"speech": "c911c9446f984b96", "tiny": "14681b61aec2a7bb"}
    assert {name: PRESETS[name].fingerprint[:16] for name in known} == known


def test_the_command_in_one_line_of_python(tone_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    settings = {"preset": "tiny", "split_pattern": {"held": "_0[0-2]"}, "split": "none", "workers": 1}
    done = preprocess(str(tone_folder), output, **settings)  # type: ignore[arg-type]
    assert (done.committed, done.changes.new, done.dataset.num_examples) == (True, 12, 12)
    assert {name: split.num_examples for name, split in done.dataset.splits.items()} == {"train": 9, "held": 3}
    again = preprocess([tone_folder], output)
    assert (again.committed, again.changes.unchanged) == (False, 12)
    news = what_is_new(Request.of([str(tone_folder)], str(output), {}))
    assert (news.nothing, news.unchanged) == (True, 12)
