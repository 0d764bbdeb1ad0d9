"""One run in several processes: the same numbers as in one, and an end for all when one fails.

Tests marked `mpi` start programs under ``mpiexec`` (``pip install mpi4py mpich``; MPIEXEC names another one).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.distributed.totals import Bucket, buckets
from tinygrad_conv.engine.backward import LISTENERS
from tinygrad_conv.errors import ArgumentError, DTypeError, GraphError, ShapeError

ROOT = Path(__file__).parents[1]
RANKS = (1, 2, 4)

# ----------------------------------------------------------------------------------------------------------------------
# In this process


def test_without_mpiexec_nothing_of_mpi_is_imported():
    code = "import sys, tinygrad_conv as tg; assert tg.distributed.size() == 1; assert 'mpi4py' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_alone_it_is_the_optimizer_itself(rng):
    x = rng.normal(size=(6, 3))
    weights = []
    for wrap in (lambda inner: inner, tg.distributed.Optimizer):
        w = tg.nn.Parameter(np.ones(3))
        optimizer = wrap(tg.optim.Adam([w], lr=0.1))
        for _ in range(3):
            optimizer.zero_grad()
            for part in getattr(optimizer, "parts", lambda x: [x])(x):
                assert part is x
                ((w * part) ** 2).mean().backward()
            optimizer.step()
        weights.append(w.tolist())
    assert weights[0] == weights[1]


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**32))
def test_sums_of_parts_are_a_subtree(some, more, seed):
    """The sums of 2**some blocks of 2**more parts, added as a tree, are those of all parts, to the bit."""
    rng = np.random.default_rng(seed)
    shapes = [(2, 3), (), (4,)]
    parts = [[rng.normal(size=s).astype("f") for s in shapes] for _ in range(2 ** (some + more))]

    def total(parts):
        bucket = Bucket([(k, s, np.dtype("f")) for k, s in enumerate(shapes)])
        for part in parts:
            bucket.add(part, 0.3)
        return bucket.total.copy()

    blocks = [total(parts[k : k + 2**more]) for k in range(0, len(parts), 2**more)]
    while len(blocks) > 1:
        blocks = [a + b for a, b in zip(blocks[::2], blocks[1::2], strict=True)]
    assert blocks[0].tobytes() == total(parts).tobytes()


@given(st.lists(st.sampled_from("efdFD"), max_size=30), st.integers(0, 2**32))
def test_buckets_hold_each_array_once(dtypes, seed):
    rng = np.random.default_rng(seed)
    shapes = [(tuple(rng.integers(0, 700, rng.integers(0, 3))), np.dtype(dtype)) for dtype in dtypes]
    arrays = [rng.normal(size=shape).astype(dtype) for shape, dtype in shapes]
    into = [None] * len(arrays)
    for bucket in buckets(shapes):
        bucket.add(arrays, 1)
        bucket.take(into)
    for array, found in zip(arrays, into, strict=True):
        assert found.shape == array.shape
        assert np.array_equal(found, array)
        assert found.dtype == ("f" if array.dtype == "e" else array.dtype)


def ordered(*params, shards=4):
    return tg.distributed.Optimizer(tg.optim.SGD(params, lr=1.0), reduction="ordered", shards=shards)


def test_parts_are_weighed_by_their_examples(rng):
    """Seven examples in four parts: their gradients together are that of the mean over all."""
    x, w = rng.normal(size=(7, 3)), tg.nn.Parameter(np.zeros(3))
    optimizer = ordered(w)
    sizes = []
    for part in optimizer.parts(x):
        sizes.append(len(part))
        (w * part).sum(1).mean().backward()
    optimizer.average()
    assert sorted(sizes) == [1, 2, 2, 2]
    np.testing.assert_allclose(w.grad.numpy(), x.mean(0), rtol=1e-12)


def test_fewer_examples_than_parts():
    w = tg.nn.Parameter([1.0])
    optimizer = ordered(w)
    for part in optimizer.parts(np.ones((1, 1))):
        (w * part).mean().backward()
    optimizer.step()
    assert w.tolist() == [0.0]


def test_a_parameter_that_some_parts_use_counts_as_zero_in_others_and_is_left_alone_where_none_does():
    some, none = tg.nn.Parameter([1.0]), tg.nn.Parameter([1.0])
    optimizer = ordered(some, none)
    for part in optimizer.parts(np.arange(4.0)):
        if part[0] == 2:
            (some * part).mean().backward()
    optimizer.average()
    assert some.grad.tolist() == [0.5]
    assert none.grad is None


def test_dropout_of_a_part_is_its_own_and_later_draws_do_not_depend_on_it():
    tg.nn.seed(0)
    net = tg.nn.Sequential([tg.nn.Dropout(0.5), tg.nn.Dropout(0.5, seed=3)])
    w = tg.nn.Parameter(np.ones(1))
    masks, after = [], []
    for used in (4, 2):
        optimizer = tg.distributed.Optimizer(tg.optim.SGD([w]), net, reduction="ordered", shards=4)
        tg.nn.seed(0)
        optimizer.zero_grad()
        for k, part in enumerate(optimizer.parts(np.ones((8, 50), "f"))):
            if k < used:
                masks.append(net(part).numpy())
        after.append(tg.nn.init.generator().random())
        optimizer.average()
    assert after[0] == after[1]
    assert len({mask.tobytes() for mask in masks[:4]}) == 4


@given(st.integers(0, 2**32))
def test_a_pass_tells_each_gradient_once_and_whole(seed):
    """In a drawn graph that uses leaves several times, or not: what is told is what ends in .grad."""
    rng = np.random.default_rng(seed)
    leaves = [tg.Tensor(rng.normal(size=3), requires_grad=True) for _ in range(5)]
    values = list(leaves)
    for _ in range(rng.integers(1, 12)):
        a, b = (values[k] for k in rng.integers(len(values), size=2))
        values.append([tg.multiply, tg.add, lambda a, b: tg.where(a > 0, a, b), tg.maximum][rng.integers(4)](a, b))
    told = {}

    class Listening:
        def complete(self, leaf, gradient):
            assert leaf not in told
            assert leaf.grad is None
            told[leaf] = gradient.copy()

        def over(self):
            assert all(leaf.grad is not None for leaf in told)

    listener = Listening()
    LISTENERS.append(listener)
    try:
        values[-1].sum().backward()
    finally:
        LISTENERS.remove(listener)
    found = {leaf.node: leaf.grad.numpy() for leaf in leaves if leaf.grad is not None}
    assert told.keys() == found.keys()
    assert all(np.array_equal(told[node], found[node]) for node in told)


def test_wrong_use_is_refused():
    w = tg.nn.Parameter([1.0])
    with pytest.raises(DTypeError, match=r"an optimizer of tg\.optim with its parameters, got"):
        tg.distributed.Optimizer([w])
    with pytest.raises(DTypeError, match=r"an optimizer of tg\.optim"):
        tg.distributed.Optimizer(tg.distributed.Optimizer(tg.optim.SGD([w])))
    with pytest.raises(ArgumentError, match="powers of two"):
        ordered(w, shards=6)
    net = tg.distributed.synchronize(tg.nn.Sequential([tg.nn.BatchNorm(features=1)]))
    with pytest.raises(ArgumentError, match=r"leave tg\.distributed\.synchronize out"):
        tg.distributed.Optimizer(tg.optim.SGD(net.parameters()), net, "ordered")
    optimizer = ordered(w)
    with pytest.raises(ShapeError, match=r"arrays of one length, at least 1, got \[2, 3\]"):
        next(optimizer.parts(np.ones(2), np.ones(3)))
    w.sum().backward()
    with pytest.raises(GraphError, match='parts with reduction="ordered"'):
        optimizer.step()
    with pytest.raises(GraphError, match="call zero_grad"):
        next(optimizer.parts(np.ones(2)))
    optimizer.zero_grad()
    for _ in optimizer.parts(np.ones(8)):
        break
    for _ in optimizer.parts(np.ones(8)):
        w.sum().backward()
    with pytest.raises(GraphError, match=r"expected step\(\) after each batch"):
        next(optimizer.parts(np.ones(8)))


# ----------------------------------------------------------------------------------------------------------------------
# Under mpiexec


def mpiexec():
    given = shlex.split(os.environ.get("MPIEXEC", ""))
    if given:
        return given
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None or find_spec("mpi4py") is None:
        pytest.skip("pip install mpi4py mpich")
    is_open = b"Open MPI" in subprocess.run([found, "--version"], capture_output=True, check=False).stdout
    return [found, *(["--oversubscribe", "--allow-run-as-root"] if is_open else [])]


def environment():
    launched = {"MPIEXEC": shlex.join(mpiexec()), "OMPI_MCA_btl": "self,sm"}  # a second sooner than with networks
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **launched}


def run(program, ranks, *args, timeout=300):
    """A finished program on so many ranks."""
    python = [sys.executable, "-W", "error", str(program), *map(str, args)]
    command = [*mpiexec(), "-n", str(ranks), *python] if ranks > 1 else python
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=timeout, check=False)


def succeed(program, ranks, *args):
    done = run(program, ranks, *args)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def program(tmp_path):
    def write(text):
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


# Trains drawn nets, and says the checksum and the sum of all weights of each. `plain`: by the optimiser alone.
DRAWN = """
import json, sys
from zlib import crc32
import numpy as np
import tinygrad_conv as tg
from tinygrad_conv import nn, optim
from tinygrad_conv.distributed import totals

def net(rng, exact):
    layers = []
    for _ in range(rng.integers(1, 4)):
        kind = rng.choice(["dense", "conv", "norm", "dropout"])
        if kind == "conv" and not any(isinstance(layer, nn.Flatten) for layer in layers):
            layers.append(nn.Conv2D(int(rng.integers(1, 5)), 3, activation="relu"))
        elif kind == "norm" and exact:
            layers.append(nn.BatchNorm())
        elif kind == "dropout" and exact:
            layers.append(nn.Dropout(0.3, seed=int(rng.integers(9)) if rng.random() < 0.5 else None))
        else:
            if not any(isinstance(layer, nn.Flatten) for layer in layers):
                layers.append(nn.Flatten())
            layers.append(nn.Dense(int(rng.integers(1, 9)), activation="tanh"))
    return nn.Sequential([*layers, nn.Flatten(), nn.Dense(3)])

def weights(seed, how):
    rng = np.random.default_rng(seed)
    exact = how == "ordered"
    nn.seed(seed + tg.distributed.rank())  # which rank 0's replaces
    model = net(rng, exact)
    model.build((None, 8, 8, 1))
    unused, sometimes = nn.Parameter(np.ones(2, "f")), nn.Parameter(np.ones(3, "d"))
    if seed % 3 == 1:  # the first weights are frozen, and not told to the optimizer
        next(model.parameters()).requires_grad = False
    params = [*(p for p in model.parameters() if p.requires_grad), unused, sometimes]
    kinds = [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.Adam(p, lr=0.01, weight_decay=0.01),
        lambda p: optim.RMSprop(p, lr=0.01), lambda p: optim.Adagrad(p, lr=0.05),
    ]
    optimizer = kinds[rng.integers(len(kinds))](params)
    totals.LARGEST = int(rng.choice([64, 1 << 22]))  # bytes of a bucket: many, or one
    if how != "plain":
        optimizer = tg.distributed.Optimizer(optimizer, model, reduction=how)
    clip, compiled, twice = rng.random(3) < 0.5

    def backward(x, y):
        loss = tg.softmax_cross_entropy(model(x), y)
        loss.backward()
        return loss

    learn = tg.compile(backward) if compiled else backward
    n, size = int(rng.integers(20, 60)), int(rng.integers(5, 30))
    x, y = rng.normal(size=(n, 8, 8, 1)).astype("f"), rng.integers(0, 3, n)
    for xb, yb in tg.data.batches(x, y, batch_size=size, seed=seed):
        optimizer.zero_grad()
        for xs, ys in optimizer.parts(xb, yb) if how != "plain" else [(xb, yb)]:
            learn(xs, ys)
            if twice:  # more is added to gradients that may be on their way already
                (params[0] * params[0]).sum().backward()
            share = float((ys == 0).mean())
            if share:
                (sometimes.sum() * share).backward()
        if clip and how != "plain":
            optimizer.average()
        if clip:
            optim.clip_grad_norm(params, 0.5)
        optimizer.step()
    assert unused.grad is None and unused.tolist() == [1, 1]
    return np.concatenate([t.ravel().astype("d") for t in (*model.state_dict().values(), sometimes.numpy())])

found = []
for seed in range(int(sys.argv[2]), int(sys.argv[3])):
    w = weights(seed, sys.argv[1])
    found.append([crc32(w.tobytes()), *w.tolist()])
checks = [c for c, *_ in found]
if tg.distributed.size() > 1:
    from mpi4py import MPI
    assert all(other == checks for other in MPI.COMM_WORLD.allgather(checks)), "ranks differ"
if tg.distributed.rank() == 0:
    print(json.dumps(found))
"""
SEEDS = (0, 200) if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else (0, 6)


@pytest.mark.mpi
def test_any_number_of_ranks_gives_the_same_weights_to_the_bit(program):
    path = program(DRAWN)
    one, *others = (json.loads(succeed(path, ranks, "ordered", *SEEDS).stdout) for ranks in RANKS)
    for other in others:
        for seed, (a, b) in enumerate(zip(one, other, strict=True)):
            assert a[0] == b[0], f"seed {seed}: the largest difference is {np.abs(np.subtract(a[1:], b[1:])).max()}"


@pytest.mark.mpi
def test_sums_of_mpi_give_the_same_weights_within_rounding(program):
    path = program(DRAWN)
    plain = json.loads(succeed(path, 1, "plain", *SEEDS).stdout)
    for ranks in RANKS:
        for a, b in zip(plain, json.loads(succeed(path, ranks, "mean", *SEEDS).stdout), strict=True):
            np.testing.assert_allclose(a[1:], b[1:], rtol=2e-3, atol=2e-4)


# A net with synchronised batch norm: its weights, on any number of ranks, are those of one process without.
NORMS = """
import json, sys
import numpy as np
import tinygrad_conv as tg
from tinygrad_conv import nn

many = tg.distributed.size() > 1
tg.nn.seed(0)
layers = [nn.Conv2D(3, 3, activation="relu"), nn.BatchNorm(), nn.Flatten(), nn.Dense(4), nn.BatchNorm(), nn.Dense(3)]
net = nn.Sequential(layers)
net.build((None, 6, 6, 1))
for parameter in net.parameters():
    parameter._array = parameter._array.astype("d")
if many:
    tg.distributed.synchronize(net)
optimizer = tg.distributed.Optimizer(tg.optim.SGD(net.parameters(), lr=0.1), net)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(31, 6, 6, 1)), rng.integers(0, 3, 31)

def backward(x, y):
    loss = tg.softmax_cross_entropy(net(x), y)
    loss.backward()
    return loss

learn = tg.compile(backward, warn=False) if sys.argv[1] == "compiled" else backward
for epoch in range(3):
    for xb, yb in tg.data.batches(x, y, batch_size=13, seed=epoch):
        optimizer.zero_grad()
        for xs, ys in optimizer.parts(xb, yb):
            learn(xs, ys)
        optimizer.step()
if not tg.distributed.rank():
    print(json.dumps(np.concatenate([w.ravel() for w in net.state_dict().values()]).astype("d").tolist()))
"""


@pytest.mark.mpi
@pytest.mark.parametrize("how", ["eager", "compiled"])
def test_synchronized_batch_norm_is_that_of_the_whole_batch(program, how):
    path = program(NORMS)
    one = json.loads(succeed(path, 1, "eager").stdout)
    for ranks in RANKS[1:]:
        np.testing.assert_allclose(one, json.loads(succeed(path, ranks, how).stdout), rtol=1e-5, atol=1e-6)


# A whole step, compiled, on data that each rank has of its own; the gradient of all is clipped.
WHOLE = """
import json
import numpy as np
import tinygrad_conv as tg

rank, size = tg.distributed.rank(), tg.distributed.size()
tg.nn.seed(0)
net = tg.nn.Sequential([tg.nn.Dense(16, activation="relu"), tg.nn.Dense(3)])
net.build((None, 5))
adam = tg.optim.Adam(net.parameters(), lr=tg.optim.CosineDecay(0.05, steps=20))
optimizer = tg.distributed.Optimizer(adam, net)

@tg.compile
def step(x, y):
    loss = tg.softmax_cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.average()
    tg.optim.clip_grad_norm(optimizer.params, 0.5)
    optimizer.step()
    return loss

rng, n = np.random.default_rng(0), 16 // size
for x, y in zip(rng.normal(size=(20, 16, 5)).astype("f"), rng.integers(0, 3, (20, 16)), strict=True):
    own = slice(rank * n, rank * n + n)
    step(x[own], y[own])
assert optimizer.steps == 20 and step.plan and not step.reasons
if not rank:
    print(json.dumps(np.concatenate([p.numpy().ravel() for p in net.parameters()]).tolist()))
"""


@pytest.mark.mpi
def test_a_whole_step_is_replayed_with_the_gradients_of_all_ranks(program):
    path = program(WHOLE)
    one, two = (json.loads(succeed(path, ranks).stdout) for ranks in (1, 2))
    np.testing.assert_allclose(one, two, rtol=2e-4, atol=2e-5)


@pytest.mark.mpi
def test_a_program_that_fails_is_started_again_as_often_as_was_asked_for(program):
    path = program("import sys, tinygrad_conv as tg; print('start'); sys.exit(0 if tg.distributed.restarted() else 7)")
    for restarts, code, starts in ((0, 7, 1), (1, 0, 2)):
        supervised = [
            sys.executable,
            "-m",
            "tinygrad_conv",
            "run",
            "-n",
            "1",
            "--restart",
            f"{restarts}",
            "--",
            str(path),
        ]
        done = subprocess.run(supervised, env=environment(), capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode, done.stdout.count("start")) == (code, starts)


# Drawn fits; says the checksum of all weights, and the history.
FITS = """
import json, sys
from zlib import crc32
import numpy as np
import tinygrad_conv as tg
from tinygrad_conv.keras import Input, Sequential, callbacks, layers, optimizers

def fit(seed, how):
    rng = np.random.default_rng(seed)
    exact = how == "ordered"
    tg.keras.utils.set_random_seed(seed + tg.distributed.rank())
    some = [[layers.Dense(5, "relu")], [layers.BatchNormalization()], [layers.Dropout(0.3)], []]
    model = Sequential([Input((4,)), *some[rng.integers(1 if not exact else 4)], layers.Dense(3, "softmax")])
    limits = [{}, {"clipnorm": 0.1}, {"global_clipnorm": 0.1}, {"weight_decay": 0.01}]
    optimizer = optimizers.Adam(0.01, **limits[rng.integers(4)])
    counted = [["accuracy"], []][rng.integers(2)]
    eager = bool(rng.random() < 0.5)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=counted, run_eagerly=eager)
    if not exact:  # rank 0's numbers, so that one process has the same
        tg.keras.utils.set_random_seed(seed)
    n, size = int(rng.integers(9, 50)), int(rng.integers(2, 20))
    x, y = rng.normal(size=(n, 4)).astype("f"), rng.integers(0, 3, n)
    more = [{}, {"validation_split": 0.3}, {"class_weight": {0: 2.0}}, {"sample_weight": rng.random(n)}]
    more = more[rng.integers(4)]
    log = f"{sys.argv[4]}/{seed}.csv"
    calls = [callbacks.CSVLogger(log), callbacks.EarlyStopping("loss", patience=0, min_delta=0.05, verbose=1)]
    distributed = {"plain": False, "mean": True}.get(how, how)
    history = model.fit(x, y, size, epochs=3, callbacks=calls, verbose=2, distributed=distributed, **more).history
    weights = np.concatenate([w.ravel().astype("d") for w in model.state_dict().values()])
    return [crc32(weights.tobytes()), weights.tolist(), history]

found = [fit(seed, sys.argv[1]) for seed in range(int(sys.argv[2]), int(sys.argv[3]))]
everybody = [found]
if tg.distributed.size() > 1:
    from mpi4py import MPI
    everybody = MPI.COMM_WORLD.allgather(found)
assert all(other == found for other in everybody), "ranks differ"
if tg.distributed.rank() == 0:
    print(json.dumps(found))
"""


@pytest.mark.mpi
def test_any_number_of_ranks_fits_the_same_to_the_bit(program, tmp_path):
    """Weights and history; one rank prints its lines."""
    path, texts = program(FITS), []
    for ranks in RANKS:
        folder = tmp_path / str(ranks)
        folder.mkdir()
        lines = succeed(path, ranks, "ordered", *SEEDS, folder).stdout.splitlines()
        texts.append(
            ([re.sub(r"\d\.\ds", "", line) for line in lines], [p.read_text() for p in sorted(folder.iterdir())])
        )
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.mpi
def test_fit_on_several_ranks_is_that_on_one_within_rounding(program, tmp_path):
    path = program(FITS)
    plain = json.loads(succeed(path, 1, "plain", *SEEDS, tmp_path).stdout.splitlines()[-1])
    for ranks in RANKS:
        found = json.loads(succeed(path, ranks, "mean", *SEEDS, tmp_path).stdout.splitlines()[-1])
        for (_, a, of_a), (_, b, of_b) in zip(plain, found, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
            assert of_a.keys() == of_b.keys()
            for name, values in of_a.items():
                np.testing.assert_allclose(values, of_b[name], rtol=1e-3, atol=1e-3)


# Stock Keras on this engine; on one process by a plain fit.
KERAS = """
import json, sys
from zlib import crc32
import numpy as np
import tinygrad_conv.keras_backend
import tinygrad_conv as tg
import keras
from keras import layers

many = tg.distributed.size() > 1
keras.utils.set_random_seed(tg.distributed.rank())  # which rank 0's replaces
more = [layers.BatchNormalization(), layers.Dropout(0.3)] if sys.argv[1] == "norm" else []
net = [keras.Input((6, 6, 1)), layers.Conv2D(4, 3, activation="relu"), *more, layers.Flatten(), layers.Dense(3)]
model = keras.Sequential([*net, layers.Softmax()])
model.compile(keras.optimizers.Adam(0.01, clipnorm=0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
rng = np.random.default_rng(0)
x, y = rng.normal(size=(50, 6, 6, 1)).astype("f"), rng.integers(0, 3, 50)
calls = [keras.callbacks.ModelCheckpoint(f"{sys.argv[2]}/{tg.distributed.rank()}.weights.h5")] if more else []
how = {"verbose": 2, "distributed": many, "validation_split": 0.2, "callbacks": calls}
history = model.fit(x, y, batch_size=16, epochs=3, **how).history
weights = np.concatenate([w.ravel() for w in model.get_weights() if w.dtype.kind == "f"])
if many:
    from mpi4py import MPI
    found = crc32(weights.tobytes()), history
    assert all(other == found for other in MPI.COMM_WORLD.allgather(found)), "ranks differ"
if not tg.distributed.rank():
    print(json.dumps([weights.tolist(), history]))
"""


@pytest.mark.mpi
@pytest.mark.skipif(find_spec("keras") is None, reason="pip install 'tinygrad-conv[keras]'")
def test_stock_keras_fits_on_several_ranks_as_on_one(program, tmp_path):
    path = program(KERAS)
    (a, of_a), *others = (
        json.loads(succeed(path, ranks, "plain", tmp_path).stdout.splitlines()[-1]) for ranks in (1, 2)
    )
    for b, of_b in others:
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
        assert of_a.keys() == of_b.keys()
        for name, values in of_a.items():
            np.testing.assert_allclose(values, of_b[name], rtol=1e-3, atol=1e-3)
    done = succeed(path, 2, "norm", tmp_path)
    assert done.stdout.count("Epoch 1/3") == 1
    assert [path.name for path in tmp_path.glob("*.h5")] == ["0.weights.h5"]


# `tinygrad-conv train`, killed on one rank before a step: each word of the first argument is START:RANK:STEP.
KILLED = """
import os, signal, sys
import tinygrad_conv as tg
from tinygrad_conv.cli import main
from tinygrad_conv import stopping

start = int(os.environ.get("TINYGRAD_CONV_RESTARTS", "0"))
steps = [int(step) for at, rank, step in (word.split(":") for word in sys.argv[1].split(",") if word)
         if (int(at), int(rank)) == (start, tg.distributed.rank())]
count = 0

def check(self):
    global count
    count += 1
    if count in steps:
        os.kill(os.getpid(), signal.SIGKILL)

stopping.Stopping.check = check
sys.exit(main(sys.argv[2:]))
"""
KILLS = 30 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 2


def training(out, *more):
    size = ["--limit", "120", "--epochs", "2", "--batch-size", "16"]  # 7 steps in an epoch, the last one short
    return ["train", "mnist", "--model", "keras-convnet", *size, "--quiet", "--no-plots", "--out", out, *more]


def outcome(folder):
    with np.load(folder / "checkpoint.npz") as arrays:
        state = {name: arrays[name].tobytes() for name in arrays.files if name != "about"}
        history = json.loads(str(arrays["about"]))["history"]
    return state, history, [(folder / name).read_bytes() for name in ("weights.npz", "history.csv", "results.json")]


@pytest.mark.mpi
def test_a_run_that_is_killed_is_started_again_and_ends_with_the_same_bits(program, tmp_path):
    path, rng = program(KILLED), np.random.default_rng(0)
    succeed(path, 2, "", *training(tmp_path / "whole"))
    expected = outcome(tmp_path / "whole" / "mnist-keras-convnet")
    for number in range(KILLS):
        kills = ",".join(f"{start}:{rng.integers(2)}:{rng.integers(1, 10)}" for start in range(rng.integers(1, 3)))
        every = f"{rng.integers(1, 4)}"
        supervised = ["-m", "tinygrad_conv", "run", "-n", "2", "--restart", "2", "--", path, kills]
        done = subprocess.run(
            [sys.executable, *map(str, [*supervised, *training(tmp_path / f"{number}", "--checkpoint-every", every)])],
            env=environment(), capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "failed with" in done.stderr
        assert outcome(tmp_path / f"{number}" / "mnist-keras-convnet") == expected, (kills, every)
        assert len(list((tmp_path / f"{number}").iterdir())) == 1


# A `fit` of the front, or (with "stock") of Keras on this engine, killed as `KILLED` is; says the checksum of all
# weights, and the last epoch's history.
FIT_KILLED = """
import os, signal, sys
from zlib import crc32
import numpy as np
import tinygrad_conv as tg
if sys.argv[1] == "stock":
    import tinygrad_conv.keras_backend
    import keras
else:
    from tinygrad_conv import keras
callbacks, layers = keras.callbacks, keras.layers

start = int(os.environ.get("TINYGRAD_CONV_RESTARTS", "0"))
steps = [int(step) for at, rank, step in (word.split(":") for word in sys.argv[4].split(",") if word)
         if (int(at), int(rank)) == (start, tg.distributed.rank())]

class Kill(callbacks.Callback):
    count = 0
    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        if self.count in steps:
            os.kill(os.getpid(), signal.SIGKILL)

keras.utils.set_random_seed(start)
inner = [layers.Dense(5, "relu"), layers.Dropout(0.3), layers.BatchNormalization(), layers.Dense(3, "softmax")]
model = keras.Sequential([keras.Input((4,)), *inner])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
rng = np.random.default_rng(0)
x, y = rng.normal(size=(50, 4)).astype("f"), rng.integers(0, 3, 50)
kept = callbacks.BackupAndRestore(sys.argv[2], save_freq=int(sys.argv[3]))
history = model.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=[kept, Kill()], distributed=True).history
weights = np.concatenate([np.ravel(w) for w in model.get_weights()])
if tg.distributed.rank() == 0:
    print(crc32(weights.astype("d").tobytes()), {name: values[-1] for name, values in history.items()})
"""


@pytest.mark.mpi
@pytest.mark.parametrize("kind", ["front", "stock"])
def test_a_fit_that_is_killed_goes_on_inside_its_epoch(program, tmp_path, kind):
    if kind == "stock" and find_spec("keras") is None:
        pytest.skip("pip install 'tinygrad-conv[keras]'")
    path, rng, every = program(FIT_KILLED), np.random.default_rng(1), 2
    whole = succeed(path, 2, kind, tmp_path / "whole", every, "").stdout
    for number in range(KILLS):
        kills = ",".join(f"{start}:{rng.integers(2)}:{rng.integers(3, 9)}" for start in range(rng.integers(1, 3)))
        supervised = ["-m", "tinygrad_conv", "run", "-n", "2", "--restart", "2", "--", path, kind]
        done = subprocess.run(
            [sys.executable, *map(str, [*supervised, tmp_path / f"{number}", every, kills])],
            env=environment(), capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "failed with" in done.stderr
        assert done.stdout.splitlines()[-1:] == whole.splitlines(), kills


@pytest.mark.mpi
def test_training_in_one_order_has_the_same_bits_on_any_number_of_ranks(program, tmp_path):
    path, found = program(KILLED), []
    for ranks in RANKS:
        succeed(path, ranks, "", *training(tmp_path / f"{ranks}", "--reduction", "ordered"))
        found.append(outcome(tmp_path / f"{ranks}" / "mnist-keras-convnet"))
    assert found[0] == found[1] == found[2]


@pytest.mark.mpi
def test_rank_0_alone_writes_and_prints(program, tmp_path):
    done = succeed(program(KILLED), 2, "", *training(tmp_path / "runs"))
    assert len(done.stdout.splitlines()) == 1
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["mnist-keras-convnet"]


FULL = """
import resource, sys
import tinygrad_conv as tg
from tinygrad_conv.cli import main

if tg.distributed.rank() == 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.mpi
def test_a_full_disk_on_rank_0_ends_all(program, tmp_path):
    done = run(program(FULL), 2, *training(tmp_path))
    assert done.returncode != 0
    assert "make room and try again" in done.stderr
    assert not (tmp_path / "mnist-keras-convnet" / "checkpoint.npz").exists()


# Rank 1 does something else at step 20.
FAILS = """
import os, signal, sys, threading, time
import numpy as np
import tinygrad_conv as tg
how = sys.argv[1]
odd = tg.distributed.rank() == 1
w = tg.nn.Parameter(np.zeros(5 if odd and how == "shape" else 4, "f"), name="w")
more = [tg.nn.Parameter(np.zeros(1))] if odd and how == "parameters" else []
inner = tg.optim.SGD([w, *more], lr=0.1, momentum=0.8 if odd and how == "setting" else 0.9)
optimizer = tg.distributed.Optimizer(inner)
for step in range(40):
    x = np.ones((8, 4), "f")
    if odd and step == 20:
        print("at", time.time(), flush=True)
        if how == "raise":
            raise ValueError("on one rank")
        if how == "exit":
            sys.exit(3)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "interrupt":
            raise KeyboardInterrupt
        if how == "break":
            break
        if how == "thread":
            threading.Thread(target=lambda: 1 / 0).start()
            time.sleep(300)
        if how == "slow":
            time.sleep(3)
        if how == "batch":
            x = x[:6]
    optimizer.zero_grad()
    for part in optimizer.parts(x):
        ((w - part) ** 2).mean().backward()
    optimizer.step()
print("reached the end")
"""
SAID = {
    "raise": "ValueError: on one rank",
    "exit": "rank 0 makes step 21 with 8 examples, rank 1 ends",
    "kill": "",
    "interrupt": "KeyboardInterrupt",
    "break": "rank 0 makes step 21 with 8 examples, rank 1 ends",
    "thread": "ZeroDivisionError",
    "batch": "rank 0 makes step 21 with 8 examples, rank 1 makes step 21 with 6 examples",
    "shape": "another parameter 'w' on rank 1: shape (5,), dtype float32, and shape (4,), dtype float32 on rank 0",
    "parameters": "another number of parameters on rank 1: 2, and 1 on rank 0",
    "setting": "another optimizer.momentum on rank 1: 0.8, and 0.9 on rank 0",
}


@pytest.mark.mpi
@pytest.mark.parametrize("how", SAID)
def test_when_one_fails_all_end_soon_and_it_is_said_why(program, how):
    path = program(FAILS)
    import time

    done = run(path, 2, how)
    ended = time.time()
    text = done.stdout + done.stderr
    assert done.returncode != 0, text
    assert SAID[how] in text.replace("\0", "")
    if "reached the end" in text:
        assert how == "break"
    for line in done.stdout.splitlines():
        if line.startswith("at "):
            assert ended - float(line.split()[1]) < 5


# Rank 1 has other code or other settings, each in its own way; says how this was told.
DIFFERS = """
import json, sys
from functools import partial
from pathlib import Path
import numpy as np
import tinygrad_conv as tg
from tinygrad_conv import keras, nn, optim

odd = tg.distributed.rank() == 1
folder = Path(sys.argv[1]) / str(tg.distributed.rank())
folder.mkdir()
sys.path.insert(0, str(folder))

class Net(nn.Module):
    power = 2
    def __init__(self, *layers, **more):
        self.inner = nn.Sequential([nn.Dense(3), *layers])
        vars(self).update(more)
        self.inner(np.ones((1, 4), "f"))

class Forward(nn.Module):
    if odd:
        def forward(self, x): return x * 2
    else:
        def forward(self, x): return x * 3

class Inherits(Forward):
    pass

if odd:
    def helper(x): return x + 1
else:
    def helper(x): return x - 1

class Helped(nn.Module):
    def forward(self, x): return helper(x)

def either(one, other):
    return one if odd else other

def made(factor):
    return lambda x: x * factor

def a(y, p): return tg.mean((y - p) ** 2)
def b(y, p): return tg.mean(tg.abs(y - p))

def fitted(optimizer="adam", loss="mse"):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile(optimizer, loss)
    model.fit(np.ones((8, 4), "f"), np.ones((8, 2), "f"), verbose=0, distributed=True)

def net(*layers, kind=optim.Adam, **more):
    model = Net(*layers, **more)
    tg.distributed.Optimizer(kind(model.parameters()), model)

kinds = {
    "forward": lambda: net(Forward()),
    "inherited": lambda: net(Inherits()),
    "helper": lambda: net(Helped()),
    "rate": lambda: net(nn.Dropout(either(0.1, 0.2))),
    "activation": lambda: net(nn.Activation(either("relu", "tanh"))),
    "function": lambda: net(act=either(tg.relu, tg.tanh)),
    "own function": lambda: net(act=either(lambda x: x + 1, lambda x: x + 2)),
    "closure": lambda: net(act=made(either(1, 2))),
    "compiled": lambda: net(act=tg.compile(either(lambda x: x + 1, lambda x: x + 2))),
    "partial": lambda: net(act=partial(tg.leaky_relu, slope=either(0.1, 0.2))),
    "constant": lambda: net(table=np.full(3, either(1.0, 2.0))),
    "setting in a list": lambda: net(sizes=[1, {"a": either(2, 3)}]),
    "order": lambda: net(*either([nn.LayerNorm(), nn.Dropout(0.1)], [nn.Dropout(0.1), nn.LayerNorm()])),
    "optimizer": lambda: net(kind=either(optim.Adam, optim.RMSprop)),
    "betas": lambda: net(kind=partial(optim.Adam, betas=(either(0.8, 0.9), 0.99))),
    "rate of learning": lambda: net(kind=partial(optim.Adam, lr=either(0.1, 0.2))),
    "schedule": lambda: net(kind=partial(optim.Adam, lr=optim.CosineDecay(0.1, steps=either(9, 8)))),
    "own schedule": lambda: net(kind=partial(optim.Adam, lr=either(lambda n: 1 / (n + 1), lambda n: 1 / (n + 2)))),
    "file": lambda: ((folder / "mine.py").write_text(f"x = {either(1, 2)}"), __import__("mine"), net()),
    "loss": lambda: fitted(loss=either("mse", "mae")),
    "setting of a loss": lambda: fitted(loss=keras.losses.CategoricalCrossentropy(label_smoothing=either(0.1, 0.2))),
    "own loss": lambda: fitted(loss=either(a, b)),
    "clipping": lambda: fitted(keras.optimizers.Adam(clipnorm=either(1.0, 2.0))),
    "class attribute": lambda: (setattr(Net, "power", either(3, 2)), net()),
}
if not odd:  # which may differ: what rank 0 alone imports, draws or looks at
    (folder / "pictures.py").write_text("")
    import pictures
nn.seed(3 + odd)
same = Net(nn.Dropout(0.1, seed=3 + odd), nn.BatchNorm(), names={"a", "b", "c"})
tg.distributed.Optimizer(tg.optim.SGD(same.parameters()), same)
said = {}
for name, kind in kinds.items():
    if name != "file":
        sys.modules.pop("mine", None)
    try:
        kind()
        said[name] = ""
    except tg.errors.GraphError as error:
        said[name] = str(error)
if odd:
    print(json.dumps(said))
"""
TOLD = {
    "forward": "another model.inner.layers[1].__class__.forward on rank 1: Forward.forward, code ",
    "inherited": "another model.inner.layers[1].__class__ (Forward).forward on",
    "helper": "another model.inner.layers[1].__class__.forward (helper) on",
    "rate": "another model.inner.layers[1].rate on rank 1: 0.1, and 0.2 on rank 0",
    "activation": "another model.inner.layers[1].activation on rank 1: 'relu', and 'tanh' on",
    "function": "another model.act on rank 1: relu, and tanh on",
    "own function": "another model.act on rank 1: <lambda>, code ",
    "closure": "another model.act (factor) on rank 1: 1, and 2 on",
    "compiled": "another model.act on rank 1: <lambda>, code ",
    "partial": "another model.act.keywords['slope'] on rank 1: 0.1, and 0.2 on",
    "constant": "another model.table on rank 1: shape (3,), dtype float64, content ",
    "setting in a list": "another model.sizes[1]['a'] on rank 1: 2, and 3 on",
    "order": "parameter",
    "optimizer": "another optimizer on rank 1: Adam, and RMSprop on",
    "betas": "another optimizer.betas[0] on rank 1: 0.8, and 0.9 on",
    "rate of learning": "another optimizer._lr on rank 1: 0.1, and 0.2 on",
    "schedule": "another optimizer._lr.steps on rank 1: 9, and 8 on",
    "own schedule": "another optimizer._lr on rank 1: <lambda>, code ",
    "file": "another file of mine on rank 1: mine.py (",
    "loss": "another model.loss on rank 1: MeanSquaredError, and MeanAbsoluteError on",
    "setting of a loss": "another model.loss.label_smoothing on rank 1: 0.1, and 0.2 on",
    "own loss": "another model.loss.",
    "clipping": "another optimizer.clipnorm on rank 1: 1.0, and 2.0 on",
    "class attribute": "another model.__class__.power on rank 1: 3, and 2 on",
}


@pytest.mark.mpi
def test_other_code_or_settings_on_a_rank_are_named_before_the_first_step(program, tmp_path):
    said = json.loads(succeed(program(DIFFERS), 2, tmp_path).stdout)
    assert said.keys() == TOLD.keys()
    for name, text in TOLD.items():
        assert text in said[name], (name, said[name])


# The same of stock Keras.
STOCK_DIFFERS = """
import json
import numpy as np
import tinygrad_conv.keras_backend
import tinygrad_conv as tg
import keras
from keras import layers

odd = tg.distributed.rank() == 1

@keras.saving.register_keras_serializable()
class Own(layers.Layer):
    if odd:
        def call(self, x): return x * 2
    else:
        def call(self, x): return x * 3

def fitted(layer, optimizer="adam", loss="mse"):
    keras.utils.clear_session(), keras.utils.set_random_seed(odd)
    model = keras.Sequential([keras.Input((4,)), layer, layers.Dense(2)])
    model.compile(optimizer, loss)
    model.fit(np.ones((8, 4), "f"), np.ones((8, 2), "f"), verbose=0, distributed=True)

fitted(layers.Dropout(0.1), loss=lambda y, p: keras.ops.mean((y - p) ** 2))
kinds = [
    lambda: fitted(Own()),
    lambda: fitted(layers.Dropout(0.1 if odd else 0.2)),
    lambda: fitted(layers.ReLU(), keras.optimizers.Adam(beta_1=0.8 if odd else 0.9)),
    lambda: fitted(layers.ReLU(), loss=keras.losses.Huber(0.1 if odd else 0.2)),
]
said = []
for kind in kinds:
    try:
        kind()
    except tg.errors.GraphError as error:
        said.append(str(error))
if odd:
    print(json.dumps(said))
"""


@pytest.mark.mpi
@pytest.mark.skipif(find_spec("keras") is None, reason="pip install 'tinygrad-conv[keras]'")
def test_other_code_or_settings_of_stock_keras_are_named(program):
    said = json.loads(succeed(program(STOCK_DIFFERS), 2).stdout)
    told = ["layer own.call on rank 1: Own.call, code", "layer dropout['rate'] on rank 1: 0.1, and 0.2 on"]
    told += ["optimizer['beta_1'] on rank 1: 0.8, and 0.9 on", "loss['_fn_kwargs']['delta'] on rank 1: 0.1, and 0.2 on"]
    assert len(said) == len(told)
    for one, text in zip(said, told, strict=True):
        assert f"fit: expected the same on all ranks, got another {text}" in one


@pytest.mark.mpi
def test_another_version_of_the_program_on_a_rank_is_named(tmp_path):
    text = "import tinygrad_conv as tg\ntg.distributed.Optimizer(tg.optim.SGD([tg.nn.Parameter([1.0])]))\n"
    command = mpiexec()
    for number, path in enumerate((tmp_path / "a.py", tmp_path / "b.py")):
        path.write_text(text + "#" * number)
        command += [*([":"] if number else []), "-n", "1", sys.executable, str(path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert "another file of the program on rank 1: b.py (" in done.stderr


@pytest.mark.mpi
def test_all_wait_for_a_slow_rank(program):
    assert succeed(program(FAILS), 2, "slow").stdout.count("reached the end") == 2


STOPPED = """
import signal
import numpy as np
import tinygrad_conv as tg
from tinygrad_conv import keras

class Data(keras.utils.PyDataset):
    def __len__(self):
        return 9

    def __getitem__(self, number):
        self.count = getattr(self, "count", 0) + 1
        if self.count == 14 and tg.distributed.rank() == 1:
            signal.raise_signal(signal.SIGINT)
        return np.full((4, 3), float(number)), np.ones((4, 1))

signal.signal(signal.SIGINT, signal.default_int_handler)
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile("sgd", "mse", metrics=["mae"])
history = model.fit(Data(), epochs=5, verbose=0, distributed=True)
print(history.interrupted, history.epoch, model.optimizer.inner.steps, model.get_weights()[1].tobytes().hex())
"""


@pytest.mark.mpi
def test_ctrl_c_on_one_rank_ends_fit_after_the_same_step_on_all(program):
    done = succeed(program(STOPPED), 2)
    first, second = done.stdout.splitlines()
    assert first == second
    assert first.startswith("True [0] 1")
    assert done.stderr.count("interrupted in epoch 2 of 5") == 1


JOINING = """
import os, signal, sys
import tinygrad_conv as tg

class Interrupting:
    def find_spec(self, name, *_):
        if name == "mpi4py.MPI" and os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK")) == "1":
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupting())
tg.distributed.rank()
"""


@pytest.mark.mpi
def test_ctrl_c_while_a_rank_joins_ends_all(program):
    done = run(program(JOINING), 2, timeout=120)
    assert done.returncode != 0
    assert "rank 1 of 2 has failed, which ends all" in done.stderr
