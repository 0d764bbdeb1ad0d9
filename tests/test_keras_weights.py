"""Weights between stock Keras, the front and `nn`, in every direction; in a process of their own, `-m keras`."""

import io
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv import keras as front
from tinygrad_conv import nn
from tinygrad_conv.errors import ArgumentError, DataError, ShapeError, TinygradConvError

pytestmark = pytest.mark.keras

SHAPE = (6, 6, 2)


# A layer as Keras and the front write it, and as `nn` does; those of images first.
LAYERS = {
    "conv": (lambda L: L.Conv2D(4, 3, strides=2, padding="same"), lambda: nn.Conv2D(4, 3, stride=2, padding="same")),
    "grouped": (
        lambda L: L.Conv2D(4, 2, padding="same", groups=2, use_bias=False),
        lambda: nn.Conv2D(4, 2, padding="same", groups=2, use_bias=False),
    ),
    "transposed": (
        lambda L: L.Conv2DTranspose(4, 3, strides=2, padding="same"),
        lambda: nn.Conv2DTranspose(4, 3, stride=2, padding="same"),
    ),
    "depthwise": (
        lambda L: L.DepthwiseConv2D(2, padding="same", depth_multiplier=2),
        lambda: nn.DepthwiseConv2D(2, padding="same", multiplier=2),
    ),
    "separable": (
        lambda L: L.SeparableConv2D(4, 2, padding="same", depth_multiplier=2),
        lambda: nn.SeparableConv2D(4, 2, padding="same", multiplier=2),
    ),
    "batch norm": (lambda L: L.BatchNormalization(), lambda: nn.BatchNorm()),
    "unscaled": (lambda L: L.BatchNormalization(scale=False), lambda: nn.BatchNorm(scale=False)),
    "layer norm": (lambda L: L.LayerNormalization(), lambda: nn.LayerNorm()),
    "group norm": (lambda L: L.GroupNormalization(2), lambda: nn.GroupNorm(2)),
    "dropout": (lambda L: L.Dropout(0.5), lambda: nn.Dropout(0.5)),
    "pool": (lambda L: L.MaxPooling2D(2, padding="same"), lambda: nn.MaxPool2D(2, padding="same")),
    "dense": (lambda L: L.Dense(4, "relu"), lambda: nn.Dense(4, activation="relu")),
}
ELSEWHERE = {"depthwise", "separable", "group norm"}  # the front has none of these
WAYS = ("weights.h5", "npz", "safetensors")
NAMES = ("keras", "front", "nn")


def built(name, keras, kinds, split):
    """A model of these layers; those from `split` on are in a model of their own inside."""
    if name == "nn":
        all_, sequential = [LAYERS[kind][1]() for kind in kinds], nn.Sequential
        flat, dense, first = nn.Flatten(), nn.Dense(3), []
    else:
        of = keras if name == "keras" else front
        all_, sequential = [LAYERS[kind][0](of.layers) for kind in kinds], of.Sequential
        flat, dense, first = of.layers.Flatten(), of.layers.Dense(3), [of.Input(SHAPE)]
    inner = [sequential(all_[split:])] if all_[split:] else []
    model = sequential([*first, *all_[:split], *inner, flat, dense])
    output(model, np.zeros((1, *SHAPE), np.float32))
    return model


def output(model, x):
    return model(x, training=False).numpy()


def tensors(model):
    return [
        w._value if hasattr(w, "_value") else w
        for w in getattr(model, "weights", None) or dict(model._state()).values()
    ]


def filled(model, seed):
    rng = np.random.default_rng(seed)
    for tensor in tensors(model):
        tensor.data = rng.uniform(0.5, 1.5, tensor.shape).astype(np.float32)
    return model


@settings(max_examples=20)
@given(
    kinds=st.lists(st.sampled_from(list(LAYERS)), min_size=1, max_size=4), split=st.integers(0, 4),
    source=st.sampled_from(NAMES), target=st.sampled_from(NAMES), way=st.sampled_from((*WAYS, "keras")),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_weights_travel(keras, tmp_path_factory, kinds, split, source, target, way, seed):
    """From any of the three to any, as a file of each kind: the outputs are those of the source."""
    path = tmp_path_factory.getbasetemp() / f"model.{way if source == 'keras' or way != 'keras' else 'npz'}"
    if "front" in (source, target):
        kinds = [kind for kind in kinds if kind not in ELSEWHERE]
    x = np.random.default_rng(seed).random((2, *SHAPE), np.float32)
    model, other = (
        filled(built(source, keras, kinds, split), seed),
        filled(built(target, keras, kinds, split), seed + 1),
    )
    tg.load(tg.save(model, path), other)
    found, expected = output(other, x), output(model, x)
    if "batch norm" in kinds or "unscaled" in kinds:  # Keras divides where nn multiplies
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["front", "nn"])
def test_keras_itself_reads_and_writes_the_files(keras, tmp_path, name):
    kinds, x = ["conv", "batch norm", "transposed", "layer norm"], np.ones((2, *SHAPE), np.float32)
    model, stock = filled(built(name, keras, kinds, 2), 0), built("keras", keras, kinds, 2)
    stock.load_weights(tg.save(model, tmp_path / "ours.weights.h5"))
    np.testing.assert_allclose(output(stock, x), output(model, x), rtol=1e-5)
    stock.compile("adam", "mse", metrics=["mae"])  # its state is in the file, too
    stock.fit(x, np.ones((2, 3)), verbose=0)
    stock.save_weights(tmp_path / "theirs.weights.h5")
    stock.save(tmp_path / "theirs.keras")
    for file in ("theirs.weights.h5", "theirs.keras"):
        tg.load(tmp_path / file, filled(model, 1))
        np.testing.assert_allclose(output(model, x), output(stock, x), rtol=1e-5)
    if name == "front":
        model.save_weights(tmp_path / "front.weights.h5")
        stock = built("keras", keras, kinds, 2)
        stock.load_weights(tmp_path / "front.weights.h5")
        filled(model, 2).load_weights(tmp_path / "theirs.keras")
        np.testing.assert_allclose(output(model, x), output(stock, x), rtol=1e-5)


def of_attributes(base, layers):
    """A model whose layers are attributes, in lists and dictionaries among them."""

    class Block(base.Layer if hasattr(base, "Layer") else nn.Module):
        def __init__(self):
            super().__init__()
            self.zero = layers[0]()
            self.more = [[layers[0]()], {"k": layers[0]()}]

        def call(self, x):
            return self.more[1]["k"](self.more[0][0](self.zero(x)))

        forward = call

    class Whole(base.Model if hasattr(base, "Model") else nn.Module):
        def __init__(self):
            super().__init__()
            self.zeta, self.block, self.alpha = layers[0](), Block(), layers[0]()

        def call(self, x):
            return self.alpha(self.block(self.zeta(x)))

        forward = call

    return Whole()


def test_models_of_attributes(keras, tmp_path):
    x = np.random.default_rng(0).random((2, 4), np.float32)
    models = [
        of_attributes(keras, [lambda: keras.layers.Dense(4)]),
        of_attributes(front, [lambda: front.layers.Dense(4)]),
        of_attributes(nn, [lambda: nn.Dense(4)]),
    ]
    for model in models:
        model(x)
    for k, source in enumerate(models):
        for way in WAYS:
            path = tg.save(filled(source, k), tmp_path / f"{k}.{way}")
            for target in models:
                if target is not source:
                    tg.load(path, filled(target, 9))
                    np.testing.assert_allclose(target(x).numpy(), source(x).numpy(), rtol=1e-5)
    models[0].load_weights(tg.save(filled(models[2], 5), tmp_path / "nn.weights.h5"))
    np.testing.assert_allclose(models[0](x).numpy(), models[2](x).numpy(), rtol=1e-5)


def test_layers_that_only_keras_has(keras, tmp_path):
    layers = keras.layers
    x = keras.Input((5, 4))
    y = layers.MultiHeadAttention(2, 3)(x, layers.Bidirectional(layers.LSTM(2, return_sequences=True))(x))
    model = keras.Model(x, layers.GRU(3)(y))
    twin, data = keras.models.clone_model(model), np.random.default_rng(0).random((2, 5, 4), np.float32)
    for way in (*WAYS, "keras"):
        tg.load(tg.save(filled(model, 0), tmp_path / f"m.{way}"), filled(twin, 1))
        np.testing.assert_array_equal(model(data).numpy(), twin(data).numpy())


def test_other_models_are_refused_whole(keras, tmp_path):
    stock = filled(built("keras", keras, ["dense"], 0), 0)
    smaller = built("keras", keras, ["dense", "conv"], 2)
    for way in (*WAYS, "keras"):
        path = tg.save(stock, tmp_path / f"m.{way}")
        for target in (smaller, built("nn", keras, ["dense", "conv"], 2)):
            before = [tensor.tobytes() for tensor in map(np.asarray, (t.numpy() for t in tensors(target)))]
            with pytest.raises(ArgumentError, match="missing"):
                tg.load(path, target)
            assert before == [t.numpy().tobytes() for t in tensors(target)]
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="head")])
    path = tg.save(other, tmp_path / "o.weights.h5")
    with pytest.raises(ShapeError, match=r"layers/dense/vars/0: \(5, 3\) and \(4, 3\)"):
        tg.load(path, keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)]))
    with pytest.raises(ArgumentError, match="no weights yet"):
        tg.load(path, keras.Sequential([keras.layers.Dense(3)]))


HOSTILE = {
    "links": lambda f, h5py: f.update({}) or f.__setitem__("a", h5py.ExternalLink("other.h5", "/x")),
    "soft links": lambda f, h5py: f.__setitem__("a", h5py.SoftLink("/b")),
    "external": lambda f, h5py: f.create_dataset("a", (4,), "f4", external=[("/etc/passwd", 0, 16)]),
    "no numbers": lambda f, h5py: f.create_dataset("a", (1 << 40,), "f4", chunks=(1 << 16,), compression="gzip"),
    "objects": lambda f, h5py: f.create_dataset("a", data=["text"], dtype=h5py.string_dtype()),
    "circle": lambda f, h5py: f.create_group("a").__setitem__("b", f["/"]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_a_file_could_lead_to_is_refused(keras, tmp_path, kind):
    import h5py

    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        HOSTILE[kind](file, h5py)
    with pytest.raises(DataError, match=r"m\.weights\.h5: expected weights, got"):
        tg.load(tmp_path / "m.weights.h5")


@settings(max_examples=60)
@given(way=st.sampled_from(["weights.h5", "keras"]), seed=st.integers(0, 2**32 - 1))
def test_a_damaged_file_is_refused_or_harmless(keras, tmp_path_factory, way, seed):
    rng, folder = np.random.default_rng(seed), tmp_path_factory.getbasetemp()
    model = filled(built("keras", keras, ["conv"], 1), 0)
    blob = bytearray(tg.save(model, folder / f"whole.{way}").read_bytes())
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(blob)))
        blob[at : at + int(rng.integers(1, 9))] = rng.bytes(int(rng.integers(0, 9)))
    (folder / f"damaged.{way}").write_bytes(blob)
    before = [t.numpy().tobytes() for t in tensors(model)]
    try:
        tg.load(folder / f"damaged.{way}", model)
    except TinygradConvError:
        assert before == [t.numpy().tobytes() for t in tensors(model)]


def test_a_keras_file_is_no_larger_than_it_is(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(1 << 24))
    (tmp_path / "m.keras").write_bytes(content.getvalue())
    with pytest.raises(DataError, match="is packed, which Keras never does"):
        tg.load(tmp_path / "m.keras")


def test_without_h5py(tmp_path):
    """The extra is named, and the front keeps to NumPy's format."""
    code = f"""
import sys
sys.modules["h5py"] = None
import tinygrad_conv as tg
from tinygrad_conv import keras, nn
net = nn.Dense(2, in_features=2)
try:
    tg.save(net, {str(tmp_path / "w.weights.h5")!r})
except tg.errors.MissingExtraError as error:
    assert "pip install 'tinygrad-conv[keras]'" in str(error)
else:
    raise SystemExit(1)
"""
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
