"""A MODEL folder on a real S3 server: trained, killed, gone on with by another process, and used."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import soundfile

from tests.helpers.dataset_writer import noises, write_dataset
from tests.helpers.resuming import CONFIG, OPTIONS, assert_same_run, stopped
from tests.helpers.sounds import tone
from vae_model import cli
from vae_model.commands import train


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of moto's server on the loopback, which s3:// means while these tests run."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[dev]'")
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install -e '.[dev]'")
    moto = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    known = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_CONFIG_FILE": os.devnull}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (known | keys).items():
            environment.setenv(name, value)
        fsspec.filesystem("s3").clear_instance_cache()  # none that knows another server
        fsspec.filesystem("s3").mkdir("models")
        yield "s3://models"
        fsspec.filesystem("s3").clear_instance_cache()
    moto.stop()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """44 records of 32 x 16 x 1 to train on, six steps an epoch; 16 to validate with."""
    folder = tmp_path_factory.mktemp("data") / "dataset"
    return write_dataset(folder, {"train": noises(44), "validation": noises(16)}, CONFIG)


@pytest.mark.slow
def test_killed_training_goes_on_from_the_bucket_and_sounds_like_the_local_model(
    dataset: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a killed run leaves its folder there
    fs = fsspec.filesystem("s3", use_listings_cache=False)
    local, data = tmp_path / "local", f"{bucket}/dataset"
    fs.put(dataset, data, recursive=True)
    assert train.main([dataset, "--output", str(local), *OPTIONS]) == 0
    assert stopped(data, f"{bucket}/model", "on_train_batch_end", 9, signal.SIGKILL) == -signal.SIGKILL  # type: ignore[arg-type]
    assert fs.exists(f"{bucket}/model/checkpoints/state.json")
    assert not fs.exists(f"{bucket}/model/bundle.json")
    assert cli.main(["train", data, "--output", f"{bucket}/model", "--resume"]) == 0
    fs.get(f"{bucket}/model", str(tmp_path / "copy"), recursive=True)
    assert_same_run(tmp_path / "copy", local)

    soundfile.write(tmp_path / "a.wav", tone(300, 0.6, 4000), 4000)
    fs.put(str(tmp_path / "a.wav"), f"{bucket}/in/a.wav")
    assert cli.main(["reconstruct", f"{bucket}/model", f"{bucket}/in", "--output", f"{bucket}/out"]) == 0
    assert cli.main(["reconstruct", str(local), str(tmp_path / "a.wav"), "--output", str(tmp_path / "out")]) == 0
    assert fs.cat(f"{bucket}/out/a.wav") == (tmp_path / "out" / "a.wav").read_bytes()


def test_what_is_wrong_with_a_bucket_is_one_line(
    dataset: str, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [
        (["train", dataset, "--output", "s3://no-such-bucket/model", *OPTIONS], "s3://no-such-bucket/model"),
        (["generate", f"{bucket}/none", "--count", "1", "--output", str(tmp_path)], f"MODEL {bucket}/none must be"),
        (["generate", "s3://no-such-bucket/m", "--count", "1", "--output", str(tmp_path)], "MODEL s3://no-such-bucket"),
    ]
    for command, named in commands:
        assert cli.main(command) in (1, 2)
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("audio-vae")]
        assert named in line
