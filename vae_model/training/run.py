"""One run of a training, with TensorFlow: data, checkpoints, early stopping, and the finished MODEL folder."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from pipelines.config import TRAIN, VALIDATION
from pipelines.console.live_line import LiveLine
from pipelines.dataset.checking import damage_in
from pipelines.dataset.folder import Dataset
from pipelines.errors import AudioVaeError, Interrupted, StoreError, WorkError, describe
from vae_model.evaluation import health
from vae_model.model_folder.bundle import Bundle, package_versions
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.folder import CONFIG_FILE, LAST_FILES, MODEL_FILE
from vae_model.model_folder.outputs import Output, make_folder, opened_output, require_empty
from vae_model.model_folder.prior_settings import FLOW, NONE
from vae_model.model_folder.value_range import ValueRange
from vae_model.training import callbacks, data, prior_step
from vae_model.training.callbacks import KLWarmup
from vae_model.training.checkpoints import Checkpoints, LossNotFinite, StopSignals, set_noise
from vae_model.training.devices import default_cache_mb, is_chief, is_multi_worker, make_strategy, precision
from vae_model.training.first_weights import at_data, at_model
from vae_model.training.parsed import Moves, scaled
from vae_model.training.progress import Progress, Speed
from vae_model.training.run_state import FOLDER, RunState, Training, fetch_run, prior_is_due, score
from vae_model.training.shard_cache import CACHE, FETCHED
from vae_model.training.tensorboard import TensorBoard
from vae_model.training_sounds import write_training_sounds
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.saving import load_model, save_model
from vae_model.vae.variational import build, wrap


def run_training(
    dataset: Dataset,
    folder: str,
    model: ModelConfig,
    train: TrainConfig,
    *,
    resume: bool,
    start: str | None,
    quiet: bool,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Training:
    """Train a model of these settings; all else is as `train_model` has it."""
    CACHE.limit_mb = train.shard_cache_mb
    FETCHED.begin()
    strategy = make_strategy(train.strategy)  # first: a cluster is joined before anything is computed
    model = dataclasses.replace(model, input_shape=dataset.record.shape)
    with contextlib.ExitStack() as stack:
        if is_chief(strategy):
            output = stack.enter_context(opened_output(folder, LAST_FILES, alone=True))
            if not resume:
                require_empty(folder, "; --resume goes on with the run in it")
        else:  # the others save as well, as what they share is read by all together, but what they save goes
            quiet = True
            output = Output(folder, Path(stack.enter_context(tempfile.TemporaryDirectory())), is_copy=True)
        run = _Run(dataset, output, strategy, start, quiet, callbacks)
        state = RunState.load(folder) if resume else None
        try:
            if state is None:
                run.begin(model, train)
            else:
                run.resume(state, model, train)
            return run.fit()
        except tf.errors.OpError as error:
            raise _read_error(dataset, error) from error
        except LossNotFinite as error:
            raise damage_in(dataset) or error from error


class _Run:
    """One call of `run_training`."""

    def __init__(
        self,
        dataset: Dataset,
        output: Output,
        strategy: tf.distribute.Strategy,
        start: str | None,
        quiet: bool,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        self.dataset = dataset
        self.start = start
        self.strategy = strategy
        self.output = output
        self.folder = output.path
        self.quiet = quiet
        self.callbacks = callbacks
        self.validates = dataset.count(VALIDATION) > 0
        if not dataset.count(TRAIN):
            raise WorkError(f"DATASET {dataset.uri} must hold records in its split {TRAIN}, it has none")

    def begin(self, model: ModelConfig, train: TrainConfig) -> None:
        """A new model, or one at the weights of the model in `start`."""
        start = self.start
        beginning = at_model(start, self.dataset, model, train) if start else at_data(self.dataset, train)
        if start and train.prior == FLOW:
            prior_step.keep_start(self.folder, start)
        keras.utils.set_random_seed(train.seed)
        with self.strategy.scope(), precision(train.mixed_precision):
            self.autoencoder: Autoencoder = build(model)
            beginning.give_to(self.autoencoder, train.output_bias)
            self._compile(train)
        bundle = Bundle.of(self.dataset, model, train, beginning.value_range)
        self.state = RunState(bundle, epoch=0, step=0, last="")

    def _compile(self, train: TrainConfig, optimizer: keras.optimizers.Optimizer | None = None) -> None:
        self.autoencoder.compile(
            train.learning_rate,
            optimizer=optimizer,
            jit_compile=train.jit if train.jit == "auto" else train.jit == "on",
            steps_per_execution=train.steps_per_execution,
        )
        self.autoencoder.model.metrics_as_vectors = is_multi_worker(self.strategy)

    def resume(self, state: RunState, model: ModelConfig, train: TrainConfig) -> None:
        """The model of the run in the folder, as it stood."""
        self.state = state.going_on(self.dataset, self.output.name, model, train)
        fetch_run(self.output, state)
        prior_step.fetch(self.output)
        last = f"{FOLDER}/{state.last}"
        keras.utils.set_random_seed(train.seed)
        with self.strategy.scope(), precision(train.mixed_precision):
            self.autoencoder = wrap(load_model(self.folder / last, name=self.output.file(last)))
            self._compile(train, self.autoencoder.model.optimizer)
            set_noise(self.autoencoder.model, state.noise)
        self._say(f"resuming after epoch {state.epoch}" + (f" and {state.step} steps" if state.step else ""))

    def fit(self) -> Training:
        """Train to the last epoch or until patience is used up; write the model; learn its prior."""
        make_folder(self.folder / FOLDER)
        self.state.bundle.save_config(self.folder)
        self.output.put(CONFIG_FILE)  # a place that can't be written shows before anything is learned
        best = score(self.state.best_metrics) if self.state.best else math.inf
        self.board = TensorBoard(self.folder, self.autoencoder, self.dataset, self.state.bundle, self.state.epoch, best)
        train = self.state.bundle.train
        if not self.state.complete:
            self._fit(train)
            if self.state.epoch < train.epochs:
                self._say(f"stopped early: {self.state.ending}")
            self._finish()
        elif not (bundle := self._finished()) or (train.prior != FLOW and prior_is_due(bundle, train)):
            self._finish()
        if train.prior == FLOW and is_chief(self.strategy):
            self._learn_prior()
        return self.state.outcome(self.output.name)

    def _fit(self, train: TrainConfig) -> None:
        examples = self._held(TRAIN)
        steps = examples.steps(train.batch_size)
        order = data.Order(train.seed)
        masked, weight = train.mask_padding, None
        if train.level_weight_db:
            loudest = self.dataset.max_db

            def weight(max_db: Any) -> Any:
                return train.weight_of(loudest - max_db)

        validation = None
        if self.validates:
            validation = self._held(VALIDATION).batches(self._range, train.batch_size, with_valid_frames=masked)
        speed = Speed(examples.count, train.batch_size)
        progress = Progress(train.epochs, steps, speed, self.state.epoch, self.state.step)
        # Machines would not stop at the same step, and then wait for each other: they stop at once, and go on from the
        # last epoch's end. For the same reason none of them saves by its clock.
        with StopSignals(hold=not is_multi_worker(self.strategy)) as stop, closing(progress):
            every_seconds = math.inf if is_multi_worker(self.strategy) else train.checkpoint_seconds
            checkpoints = Checkpoints(self.folder, self.state, steps, stop, every_seconds, self._publish)
            callbacks = self._callbacks(train, order, checkpoints, progress)

            def fit(skip: int, until: int) -> None:
                self.autoencoder.train(
                    examples.batches(
                        self._range,
                        train.batch_size,
                        order,
                        skip,
                        moves=Moves.of(train),
                        with_valid_frames=masked,
                        weight=weight,
                    ),
                    num_epochs=until,
                    validation_data=validation,
                    callbacks=callbacks,
                    initial_epoch=checkpoints.state.epoch,
                    verbose=0,
                )

            try:
                if self.start and validation is not None and not (self.state.epoch or self.state.step):
                    self._measure_start(checkpoints, validation)
                if self.state.step == steps:
                    self._end_epoch(callbacks, validation)
                elif self.state.step:
                    fit(self.state.step, self.state.epoch + 1)
                if not checkpoints.state.complete:
                    fit(0, train.epochs)
            except Interrupted:
                self.state = checkpoints.state
                self._interrupted(steps)
            self.state = checkpoints.state

    def _callbacks(
        self, train: TrainConfig, order: data.Order, checkpoints: Checkpoints, progress: Progress
    ) -> list[keras.callbacks.Callback]:
        """What happens beside the steps. Checkpoints come last: by them a run ends that was asked to."""
        return [
            keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: setattr(order, "epoch", epoch)),
            keras.callbacks.LearningRateScheduler(lambda epoch, _: train.learning_rate_at(epoch)),
            KLWarmup(train),
            progress.speed,
            *self.callbacks,
            *self._watch(),  # it and those before add to the logs, those after record them
            *([self.board] if is_chief(self.strategy) else []),
            *([] if self.quiet else [progress]),
            checkpoints,
        ]

    def _watch(self) -> list[keras.callbacks.Callback]:
        if not self.autoencoder.config.is_vae:
            return []
        examples = callbacks.examples(self.dataset, self._range)
        return [callbacks.PosteriorWatch(examples, self._say, first_epoch=self.state.bundle.train.kl_warmup_epochs)]

    def _measure_start(self, checkpoints: Checkpoints, validation: tf.data.Dataset) -> None:
        """Make the model that training starts from a candidate for the best."""
        model = self.autoencoder.model
        group = keras.callbacks.CallbackList([checkpoints], model=model)
        checkpoints.on_start_measured(model.evaluate(validation, callbacks=group, return_dict=True, verbose=0))
        if checkpoints.state.best:
            self._say(f"{self.start} begins at a validation loss of {score(checkpoints.state.best_metrics):.5g}")

    def _end_epoch(self, callbacks: list[keras.callbacks.Callback], validation: tf.data.Dataset | None) -> None:
        """Validate and record an epoch whose steps are all done, as `fit` does."""
        model = self.autoencoder.model
        group = keras.callbacks.CallbackList(callbacks, model=model)
        group.on_train_begin()
        group.on_epoch_begin(self.state.epoch)
        logs = model.get_metrics_result()
        if validation is not None:
            found = model.evaluate(validation, callbacks=group, return_dict=True, verbose=0)
            logs |= {f"val_{name}": value for name, value in found.items()}
        group.on_epoch_end(self.state.epoch, logs)
        group.on_train_end()

    def _interrupted(self, steps: int) -> None:
        if self.state.best:
            self._finish()
        self.output.publish()
        state = self.state
        within = f" and {state.step} of {steps} steps" if state.step else ""
        place = f"after epoch {state.epoch} of {state.bundle.train.epochs}{within}"
        way_on = f"audio-vae train {self.dataset.uri} --output {self.output.name} --resume"
        raise Interrupted(f"interrupted {place}; all is saved, go on with: {way_on}", place)

    def _publish(self) -> None:
        """Bring a checkpoint to where others find it; training goes on when that fails."""
        try:
            self.output.publish()
        except WorkError as error:
            self._say(f"{error}; training goes on, and the next checkpoint is tried")

    def _finished(self) -> Bundle | None:
        return self.state.finished(str(self.folder))

    def _learn_prior(self) -> None:
        """Learn the flow of the model that was kept, unless it is there."""
        bundle, train = self._finished(), self.state.bundle.train
        if bundle is not None and prior_is_due(bundle, train):
            self._publish()  # the model is whole without it
            best = wrap(load_model(self.folder / FOLDER / self.state.best, compiled=False))
            bundle = dataclasses.replace(bundle, train=train)
            hold = not is_multi_worker(self.strategy)
            prior = prior_step.learn_prior_of(best, self.dataset, self.output, bundle, quiet=self.quiet, hold=hold)
            if prior is not None:
                self.board.show_new_sounds(best, prior)

    def _finish(self) -> None:
        """Write `model.keras`, the best epoch's without its optimiser, and then `bundle.json`."""
        if not is_chief(self.strategy):
            return
        best = wrap(load_model(self.folder / FOLDER / self.state.best, compiled=False))
        train = self.state.bundle.train
        if train.prior != NONE:
            best.fit_latent_distribution(scaled(self._examples(), self._range))
        prior_step.forget(self.output)
        save_model(best.model, self.folder / MODEL_FILE)
        metrics: dict[str, Any] = {
            "epochs": self.state.epoch,
            "best_epoch": self.state.best_epoch,
            **self.state.best_metrics,
            "train_seconds": round(self.state.seconds, 3),
        }
        if best.config.is_vae:
            examples, kl = callbacks.examples(self.dataset, self._range), self.state.best_metrics.get("kl_loss")
            metrics["posterior"] = health.examine(best.model, examples, kl).to_dict()
        bundle = dataclasses.replace(self.state.bundle, metrics=metrics, versions=package_versions())
        write_training_sounds(self.folder, best, bundle, self.dataset)
        prior = prior_step.without_flow(self.dataset, train, self._say)
        dataclasses.replace(bundle, prior=prior).save(self.folder)
        self.board.finish(best)

    @property
    def _range(self) -> ValueRange:
        return self.state.bundle.value_range

    def _examples(self) -> dict[str, Any]:
        return data.first_examples(self.dataset, TRAIN)

    def _held(self, split: str) -> data.Examples:
        """A split's records, in memory if they fit; says which."""
        cache_mb = self.state.bundle.train.cache_mb
        limit = default_cache_mb() if cache_mb is None else cache_mb
        examples = data.Examples(self.dataset, split, limit, self.strategy.num_replicas_in_sync)
        size = f"split {split}: {examples.num_bytes / data.MB:,.0f} MB of records"
        if examples.in_memory:
            self._say(f"{size} are held in memory")
        else:
            self._say(f"{size} are read from disk each epoch (more than --cache-mb {limit})")
        return examples

    def _say(self, line: str) -> None:
        if not self.quiet:
            LiveLine().clear()  # one of Progress may stand there
            print(line, file=sys.stderr, flush=True)


def _read_error(dataset: Dataset, error: tf.errors.OpError) -> WorkError:
    """What TensorFlow failed on: a shard that did not come, or a damaged one, if reading them one by one finds it."""
    if (failure := FETCHED.failure) is not None:
        if isinstance(failure, WorkError) and not isinstance(failure, StoreError):
            return failure  # it came, and is damaged
        told = str(failure) if isinstance(failure, (AudioVaeError, OSError)) else describe(failure)
        return WorkError(f"training on DATASET {dataset.uri} failed: {told}")
    text = (error.message or repr(error)).splitlines()[0]
    return damage_in(dataset) or WorkError(f"training on DATASET {dataset.uri} failed: {text}")
