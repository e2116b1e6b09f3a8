"""What a training run shows of itself while it runs: on a terminal, in a log, and the speed."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import termios
from collections.abc import Iterator

import pytest

from vae_model.training import progress
from vae_model.training.progress import Progress, Speed

LOGS = {"loss": 12345.6, "reconstruction_loss": 0.0123, "kl_loss": 45.6}
HELD_OUT = {"val_loss": 13579.1, "val_reconstruction_loss": 0.0136, "val_kl_loss": 46.7, "active_units": 57.0}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second passes between one look at the clock and the next."""
    ticks: Iterator[float] = (i / 2 for i in range(1, 10_000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(ticks))


def play(shown: Progress, speed: Speed, epochs: range) -> None:
    """The calls that Keras makes in `epochs` of two steps of eight examples."""
    for epoch in epochs:
        for callback in (speed, shown):
            callback.on_epoch_begin(epoch)
        for batch in range(2):
            for callback in (speed, shown):
                callback.on_train_batch_end(batch, LOGS)
        logs = {**LOGS, **HELD_OUT}
        for callback in (speed, shown):
            callback.on_epoch_end(epoch, logs)
    shown.on_train_end()


def test_a_log_gets_a_line_an_epoch_with_everything(clock: None) -> None:
    stream, speed = io.StringIO(), Speed(16, 8)
    play(Progress(4, 2, speed, first_epoch=2, stream=stream), speed, range(2, 4))
    first, second = stream.getvalue().splitlines()
    figures = "loss 12345.6 (validation 13579.1)  reconstruction 0.01230 (0.01360)  KL 45.6 (46.7)  57 active"
    # From the end of an epoch's first step to the end of its second the clock is looked at twice: 8 examples in 1 s.
    assert first.startswith(f"epoch 3/4  {figures}  8 examples/s  0:0")
    assert second == f"epoch 4/4  {figures}  8 examples/s  0:00 left"


def on_terminal(columns: int) -> str:
    """All that a terminal of that width gets."""
    controller, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(terminal, "w", encoding="utf-8") as stream:
        speed = Speed(16, 8)
        play(Progress(1200, 2, speed, stream=stream), speed, range(3))
        text = b""
        while not text.endswith(b"\n"):
            text += os.read(controller, 65536)
    os.close(controller)
    return text.decode()


@pytest.mark.parametrize("columns", [20, 60, 80, 100, 120, 200])
def test_a_terminal_gets_one_line_of_its_width(clock: None, columns: int) -> None:
    text = on_terminal(columns)
    assert text.count("\n") == 1
    shown = [line.removesuffix("\x1b[K") for line in text.rstrip("\r\n").split("\r")[1:]]
    assert len(shown) == 9
    assert all(line.isprintable() and len(line) < columns for line in shown)
    assert all(line.startswith(f"epoch {number // 3 + 1}/1200") for number, line in enumerate(shown))
    if columns >= 80:
        assert re.search(r"step 1/2  loss 12345\.6.*KL 45\.6.* left$", shown[3])
    if columns >= 120:
        step = r"^epoch 2/1200  step 2/2  loss 12345\.6 .*recon\w* 0\.01230 .*KL 45\.6 .*57 active .* left$"
        assert re.search(step, shown[4])
        assert re.search(r"loss 12345\.6 \(val\w* 13579\.1\)  recon\w* 0\.01230 \(0\.01360\)", shown[5])
        assert re.search(r"  \d+ ex\w*/s  ", shown[5])


def test_speed_leaves_out_the_step_that_compiles(clock: None) -> None:
    speed = Speed(examples=20, batch_size=8)
    speed.on_epoch_begin(0)  # at 0.5 s; then the batches end at 1, 1.5 and 2 s
    for batch in range(3):
        speed.on_train_batch_end(batch)
    logs = {"loss": 1.0}
    speed.on_epoch_end(0, logs)
    assert logs["examples_per_second"] == pytest.approx((20 - 8) / (2.0 - 1.0))
    single = Speed(examples=5, batch_size=8)
    single.on_epoch_begin(0)  # at 2.5 s
    single.on_train_batch_end(0)
    assert single.examples_per_second == pytest.approx(5 / 0.5)


def test_time_left_is_the_steps_missing_at_the_mean_speed(clock: None) -> None:
    stream = io.StringIO()
    shown = Progress(801, 10, Speed(80, 8), stream=stream)
    for batch in range(10):  # a step each half second
        shown.on_train_batch_end(batch)
    shown.on_epoch_end(0, LOGS)
    # 8,000 steps missing; nine of them took ten looks at the clock, 5 s
    assert "  1:14:05 left" in stream.getvalue()


def test_a_long_run_says_at_its_start_how_long_it_will_take(clock: None) -> None:
    stream, speed = io.StringIO(), Speed(16, 8)
    play(Progress(1200, 2, speed, stream=stream), speed, range(6))
    (foretold,) = [line for line in stream.getvalue().splitlines() if "will take" in line]
    # Six looks at the clock an epoch: 3 s, and an hour for nearly 1,200; a little more while few are counted.
    found = re.fullmatch(r"1,198 epochs of 2 steps will take about (\d+) minutes here", foretold)
    assert found is not None
    assert 58 <= int(found[1]) <= 70
    assert stream.getvalue().index(foretold) < stream.getvalue().index("epoch 3/")
    stream, speed = io.StringIO(), Speed(16, 8)
    play(Progress(12, 2, speed, stream=stream), speed, range(6))
    assert "will take" not in stream.getvalue()
