"""The Flex Template in deploy/dataflow: its metadata, its launcher, and the request that a scheduler sends."""

from __future__ import annotations

import importlib.util
import json
import re
from typing import Any

import pytest
import yaml
from google.cloud import dataflow
from google.protobuf import json_format

from pipelines.commands.preprocess import parse_options, request_of
from pipelines.config import DTYPES, PAD_MODES, PRESETS, SEGMENTS
from pipelines.plan.policy import MaxFailures
from pipelines.request import RunOptions
from tests.helpers.places import ROOT

DEPLOY = ROOT / "deploy" / "dataflow"
METADATA: dict[str, Any] = json.loads((DEPLOY / "metadata.json").read_text())
REQUEST: dict[str, Any] = json.loads((DEPLOY / "scheduler.json").read_text())
PARAMETERS = {parameter["name"]: parameter for parameter in METADATA["parameters"]}


def launcher_command(flags: list[str]) -> list[str]:
    """What the launcher makes of a template's flags."""
    spec = importlib.util.spec_from_file_location("launcher", DEPLOY / "launcher.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    words: list[str] = module.command(flags)
    return words


def problems(parameters: dict[str, str]) -> list[str]:
    """Why Dataflow would refuse these parameters of the template."""
    found = [f"{name} is no parameter" for name in parameters if name not in PARAMETERS]
    for name, parameter in PARAMETERS.items():
        if name not in parameters:
            found += [] if parameter.get("isOptional") else [f"{name} is missing"]
        else:
            found += [f"{name} is not {r}" for r in parameter["regexes"] if not re.fullmatch(r, parameters[name])]
    return found


def test_the_metadata_is_what_dataflow_reads() -> None:
    metadata = json_format.ParseDict(METADATA, dataflow.TemplateMetadata.pb()(), ignore_unknown_fields=False)
    assert [parameter.name for parameter in metadata.parameters] == list(PARAMETERS)
    assert all(parameter.label and parameter.help_text for parameter in metadata.parameters)
    assert [p.name for p in metadata.parameters if not p.is_optional] == ["input", "output"]


def test_the_scheduled_request_fits_the_template() -> None:
    message = dataflow.LaunchFlexTemplateRequest.pb()()
    json_format.ParseDict(REQUEST, message, ignore_unknown_fields=False)
    launch = REQUEST["launchParameter"]
    assert problems(launch["parameters"]) == []
    assert re.fullmatch("[a-z]([-a-z0-9]{0,1022}[a-z0-9])?", launch["jobName"])
    assert launch["environment"]["sdkContainerImage"] == substitutions()["_IMAGE"]
    assert launch["containerSpecGcsPath"] == substitutions()["_TEMPLATE"]


def test_requests_that_do_not_fit_are_found() -> None:
    fits = REQUEST["launchParameter"]["parameters"]
    assert problems({"output": fits["output"]}) == ["input is missing"]
    assert problems(fits | {"colour": "red"}) == ["colour is no parameter"]
    assert len(problems(fits | {"input": "/home/me"})) == 1
    assert len(problems(fits | {"max_failures": "many"})) == 1


def substitutions() -> dict[str, str]:
    values: dict[str, str] = yaml.safe_load((DEPLOY / "cloudbuild.yaml").read_text())["substitutions"]
    return values


def test_the_launcher_turns_the_request_into_the_command() -> None:
    parameters = REQUEST["launchParameter"]["parameters"] | {"input": "gs://a-bucket/x, gs://b-bucket/y"}
    beam = ["--runner=DataflowRunner", "--project=my-project", "--template_location=gs://my-bucket/job_object"]
    switches = ["--checksum=true", "--keep_removed=false", "--label_pattern="]
    command, *words = launcher_command([*beam, *(f"--{name}={value}" for name, value in parameters.items()), *switches])
    assert command == "preprocess"
    options, beam_flags = parse_options(words)
    assert options.inputs == ["gs://a-bucket/x", "gs://b-bucket/y"]
    request = request_of(options, beam_flags)
    assert (request.output, request.preset) == ("gs://my-bucket/dataset", "default")
    assert request.settings == {"split": (("validation", 0.1), ("test", 0.1))}
    assert request.run == RunOptions(max_failures=MaxFailures(5, percent=True), checksum=True)
    assert options.no_wait
    assert beam_flags == beam


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("preset", PRESETS),
        ("dtype", DTYPES),
        ("segments", SEGMENTS),
        ("pad_mode", PAD_MODES),
        ("split", ["none", "validation=0.1", "a=.25,b_2=0.5"]),
        ("split_pattern", [r"test=_[0-4]\.wav$"]),
        ("label_pattern", [r"(?P<digit>\d)_(?P<speaker>\w+)_\d+"]),
        ("max_failures", ["0", "10", "2.5%", "5%"]),
        ("checksum", ["true", "false"]),
        *((name, ["1", "22050"]) for name in ("sample_rate", "channels", "frame_size", "hop_length")),
        *((name, ["1", "0.74"]) for name in ("segment_seconds", "segment_hop_seconds", "top_db", "shard_mb")),
    ],
)
def test_what_the_command_takes_the_template_takes(name: str, values: list[str]) -> None:
    for value in values:
        assert problems({"input": "gs://a/b", "output": "gs://a/c", name: value}) == []
        words = launcher_command(["--input=gs://a/b", "--output=gs://a/c", f"--{name}={value}"])
        options, _ = parse_options(words[1:])
        assert (getattr(options, name) is not None) == (value != "false")


def test_every_parameter_is_an_option_of_the_command() -> None:
    options, _ = parse_options(["gs://a/b", "--output=gs://a/c"])
    assert set(PARAMETERS) - {"input"} <= vars(options).keys()


def test_the_image_has_the_pinned_python_and_beam() -> None:
    """A launcher and workers of other versions than those that the tests ran with would be another program."""
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    base = re.search(r"^FROM apache/beam_python([\d.]+)_sdk:([\d.]+)$", dockerfile, re.MULTILINE)
    assert base is not None
    pins = re.findall(r"^apache-beam(?:\[.*\])?==([\d.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert base[2] in pins
    assert f"python{base[1].replace('.', '')}-template-launcher-base" in dockerfile
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split())
