"""`BackupAndRestore`: a training that ended anywhere goes on to the bit, whatever feeds it."""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.errors import DataError, DTypeError
from tinygrad_conv.keras import Input, Sequential, callbacks, layers, metrics, optimizers, utils

EPOCHS = 3


class Ended(Exception):  # noqa: N818
    """As if the process had been killed."""


class Ending(callbacks.Callback):
    def __init__(self, after):
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise Ended


class Largest(metrics.Metric):
    def __init__(self):
        super().__init__()
        self.most, self.times = self.add_variable(shape=()), 0

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.most.assign(max(self.most.item(), y_pred.max().item()))
        self.times += 1

    def reset_state(self):
        super().reset_state()
        self.times = 0

    def result(self):
        return {"most": self.most, "times": self.times}


class Rows(utils.Sequence):
    def __init__(self, x, y, size):
        super().__init__()
        self.batches = [(x[k : k + size], y[k : k + size]) for k in range(0, len(x), size)]
        self.turn = 0

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[(index + self.turn) % len(self)]

    def on_epoch_end(self):
        self.turn += 1


def endless(x, y, size):
    k = 0
    while True:
        yield x[k % 7 : k % 7 + size], y[k % 7 : k % 7 + size]
        k += 1


def given_to_fit(how, rng):
    """What `fit` is fed with, made anew as a program that starts again does."""
    n, size = int(rng.integers(12, 40)), int(rng.integers(3, 9))
    x, y = rng.normal(size=(n, 4)).astype("f"), rng.integers(0, 3, n)
    steps, whole = int(rng.integers(1, 6)), -(-n // size)
    fitting = next(some for some in (3, 2, 1) if whole % some == 0)  # so that no epoch has too few
    return {
        "arrays": lambda: {"x": x, "y": y, "batch_size": size, "validation_split": 0.2},
        "some steps": lambda: {"x": x, "y": y, "batch_size": size, "steps_per_epoch": fitting},
        "weights": lambda: {"x": x, "y": y, "batch_size": size, "class_weight": {0: 2.0}, "shuffle": False},
        "batches": lambda: {"x": tg.data.batches(x, y, batch_size=size, seed=3)},
        "stream": lambda: {"x": tg.data.stream(x, y, batch_size=size, block_size=3, window=2)},
        "list": lambda: {"x": [(x[:size], y[:size]), (x[size:], y[size:])]},
        "sequence": lambda: {"x": Rows(x, y, size)},
        "generator": lambda: {"x": endless(x, y, 3), "steps_per_epoch": steps},
    }[how]


def trained(seed, how, folder, frequency, begins, ends=0):
    """Weights and history of a program that begins with some random numbers, and ends after so many batches."""
    rng = np.random.default_rng(seed)
    data = given_to_fit(how, rng)
    utils.set_random_seed(begins)
    inner = [[layers.Dropout(0.3)], [layers.Dropout(0.3, seed=7), layers.BatchNormalization()], []][rng.integers(3)]
    model = Sequential([Input((4,)), layers.Dense(5, "relu"), *inner, layers.Dense(3, "softmax")])
    rate = [0.01, optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)][rng.integers(2)]
    optimizer = [optimizers.Adam, optimizers.RMSprop][rng.integers(2)](rate)
    counted = ["accuracy", Largest()]
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=counted, run_eagerly=bool(rng.integers(2)))
    calls = [callbacks.BackupAndRestore(folder, frequency), Ending(ends)]
    history = model.fit(**data(), epochs=EPOCHS, verbose=0, callbacks=calls)
    return [w.tobytes() for w in model.get_weights()], history.history


@settings(max_examples=20)
@given(
    st.sampled_from(["arrays", "some steps", "weights", "batches", "stream", "list", "sequence", "generator"]),
    st.integers(0, 2**32), st.lists(st.integers(1, 12), min_size=1, max_size=2), st.sampled_from([1, 2, 3, "epoch"]),
)  # fmt: skip
def test_a_training_goes_on_to_the_bit(how, seed, ends, frequency):
    """Each time its random numbers begin elsewhere, but where nothing was kept yet."""
    with TemporaryDirectory() as outer:
        folder = Path(outer, "here")
        weights, history = trained(seed, how, folder, frequency, 0)
        assert not folder.exists()
        for after in (*ends, 0):
            with suppress(Ended):
                begins = after if (folder / "backup.npz").exists() else 0
                found, rest = trained(seed, how, folder, frequency, begins, after)
        assert found == weights
        for name, values in rest.items():
            assert values == history[name][-len(values) :], name


def test_what_is_no_backup_of_this_training_is_refused(tmp_path):
    path = tmp_path / "backup.npz"
    with pytest.raises(Ended):
        trained(0, "arrays", tmp_path, 1, 0, 2)
    kept = path.read_bytes()
    with np.load(path) as arrays:
        of = dict(arrays)
    place, weights = str(of["place"]), next(name for name in of if name.startswith("model/"))
    for name, value in (
        ("place", place.replace('"taken": 2', '"taken": -2')), ("place", "{}"), ("place", "["),
        ("place", place.replace('"generators": ["', '"generators": ["f ')), (weights, np.zeros((1, 7), "f")),
        ("optimizer/steps", "text"), ("metric 0/_total", np.ones(2)),
    ):  # fmt: skip
        assert name in of
        np.savez(path, **{**of, name: value})
        with pytest.raises(DataError, match=r"backup\.npz: expected .*"):
            trained(0, "arrays", tmp_path, 1, 0)
    path.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(DataError, match="delete it to begin anew"):
        trained(0, "arrays", tmp_path, 1, 0)
    with pytest.raises(DTypeError, match="expected save_freq to be 'epoch', so many batches, or seconds"):
        callbacks.BackupAndRestore(tmp_path, None)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="BackupAndRestore: cannot write"):
        trained(0, "arrays", tmp_path / "file", 1, 0)


def test_by_time_and_kept_at_the_end(tmp_path):
    model = Sequential([Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    for seconds, there in (("0s", True), ("1000s", False)):
        folder = tmp_path / seconds
        kept = callbacks.BackupAndRestore(folder, seconds, delete_checkpoint=False)
        model.fit(np.ones((4, 4)), np.ones((4, 1)), 2, verbose=0, callbacks=kept)
        assert (folder / "backup.npz").exists() == there
    assert pickle.loads(pickle.dumps(kept)).backup_dir == kept.backup_dir
