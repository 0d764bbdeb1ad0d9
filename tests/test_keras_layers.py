"""Each layer of Keras on this engine and on PyTorch: outputs, and gradients by inputs and weights. `-m keras`."""

import os
import subprocess
import sys

import keras_layers
import numpy as np
import pytest

import tinygrad_conv as tg

pytestmark = pytest.mark.keras

OTHERWISE = {  # where PyTorch's backend is alone, and JAX's and NumPy's agree with this one
    "ContrastLimitedAdaptiveHistogramEqualization": "it clips no histogram",
}
NUMERIC = ["jvp_vs_numeric", "vjp_vs_numeric"]  # some layers compute in float32, where two kernels may differ


def test_every_layer_has_a_case(keras):
    layer = keras.layers.Layer
    found = {value for value in vars(keras.layers).values() if isinstance(value, type) and issubclass(value, layer)}
    cased = {getattr(keras.layers, name) for name, *_ in keras_layers.cases(keras)}
    others = {getattr(keras.layers, name) for name in keras_layers.OTHERS}
    assert found == cased | others
    assert not cased & others


def test_outputs_and_gradients_are_those_of_torch(keras, tmp_path):
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", keras_layers.__file__, tmp_path / "theirs.npz"],
        env=os.environ | {"KERAS_BACKEND": "torch"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "theirs.npz") as file:
        theirs = dict(file)
    wrong = []
    for case, found in keras_layers.all_outcomes(keras):
        others = {key.removeprefix(case + "/"): value for key, value in theirs.items() if key.startswith(case + "/")}
        if case.split()[1] in OTHERWISE:
            continue
        if "error" in found or "error" in others or found.keys() != others.keys():
            wrong.append(f"{case}: {found.get('error', 'runs')}; on PyTorch {others.get('error', 'runs')}")
            continue
        for key, value in found.items():
            scale = 1e-5 * (1 + np.abs(others[key]).max(initial=0))
            if value.shape != others[key].shape or not np.allclose(value, others[key], rtol=1e-4, atol=scale):
                wrong.append(f"{case}: {key} {value.shape} differs from {others[key].shape}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", keras_layers.RANDOM)
def test_with_numbers_drawn_the_gradient_is_that_of_numbers(keras, name):
    """Random layers draw other numbers on each backend; from one seed a layer is a function, with a gradient."""
    shape = {"SpatialDropout1D": keras_layers.SERIES, "SpatialDropout3D": keras_layers.VOLUME}.get(name)
    x = np.random.default_rng(0).uniform(0.3, 0.8, shape or keras_layers.IMAGE)
    keras.backend.set_floatx("float64")
    try:

        def layer(x):
            made = getattr(keras.layers, name)(**keras_layers.RANDOM[name], seed=1)
            return made(x, training=True)

        moved = keras.ops.convert_to_numpy(layer(x))
        assert moved.shape != x.shape or name in ("RandomFlip",) or not np.array_equal(moved, x)
        tg.testing.check_gradients(layer, x, order=1, properties=NUMERIC)
    finally:
        keras.backend.set_floatx("float32")
