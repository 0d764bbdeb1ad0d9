"""Weights as files: what `tg.save` writes `tg.load` reads, into models of other names, and no more than it should."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv import keras, nn
from tinygrad_conv.errors import ArgumentError, DataError, DTypeError, ShapeError

DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "float16", "int32", "uint32", "float32", "int64", "uint64",
          "float64", "complex64")  # fmt: skip
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)


def of_nn(names=(None, None, None)):
    layers = nn.Conv2D(3, 2, name=names[0]), nn.BatchNorm(name=names[1]), nn.Flatten(), nn.Dense(2, name=names[2])
    net = nn.Sequential(*layers, seed=0)
    net.build((None, 4, 4, 2))
    return net


def of_front():
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Conv2D(3, 2), layers.BatchNormalization(), layers.Flatten(), layers.Dense(2)]
    )
    model.build()
    return model


def drawn(model, seed):
    """A model with weights of its own."""
    rng = np.random.default_rng(seed)
    model.load_state_dict({name: rng.random(array.shape, "float32") for name, array in model.state_dict().items()})
    return model


def arrays(model):
    return sorted(array.tobytes() for array in model.state_dict().values())


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.tuples(st.sampled_from(DTYPES), SHAPES), min_size=1))
def test_safetensors_hold_any_arrays(tmp_path_factory, said):
    path = tmp_path_factory.getbasetemp() / "drawn.safetensors"
    rng = np.random.default_rng(0)
    values = {name: (rng.random(shape) * 100).astype(dtype) for name, (dtype, shape) in said.items()}
    found = tg.load(tg.save(values, path))
    assert list(found) == list(values)
    for name, value in values.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        assert found[name].tobytes() == value.tobytes()


def test_a_safetensors_file_is_that_of_its_authors(tmp_path):
    """Written out as the format's page says it, and nothing in it is ours."""
    path = tg.save({"b": np.array([1, 2], "int16"), "a": np.float32(0.5)}, tmp_path / "w.safetensors")
    blob = path.read_bytes()
    (length,) = struct.unpack("<Q", blob[:8])
    assert length % 8 == 0
    assert json.loads(blob[8 : 8 + length]) == {
        "b": {"dtype": "I16", "shape": [2], "data_offsets": [0, 4]},
        "a": {"dtype": "F32", "shape": [], "data_offsets": [4, 8]},
    }
    assert blob[8 + length :] == struct.pack("<hhf", 1, 2, 0.5)
    theirs = b'{"__metadata__":{"format":"pt"},"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}   '
    path.write_bytes(struct.pack("<Q", len(theirs)) + theirs + struct.pack("<d", 3.0))
    assert {name: x.tolist() for name, x in tg.load(path).items()} == {"x": [3.0]}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, 8),
        ({"x": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, 12),
        ({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, 12),
        ({"x": {"dtype": "F32", "shape": [1 << 60], "data_offsets": [0, 1 << 62]}}, 4),
        ({"x": {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]}}, 8),
        ({"x": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}}, 8),
        ({"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, 4),
        ({"x": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}}, 8),
        ({"x": 3}, 0), ([1], 0), ({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                                   "y": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, 4),
    ],
)  # fmt: skip
def test_a_safetensors_file_that_lies_is_refused(tmp_path, header, data):
    text = json.dumps(header).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))
    with pytest.raises(DataError, match=r"w\.safetensors: expected weights, got"):
        tg.load(path)


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
@pytest.mark.parametrize("names", [(None, None, None), ("conv2d", "batch_normalization", "dense"), ("a", None, "b")])
def test_weights_go_into_models_of_other_names(tmp_path, ending, names):
    """By their own names, by the place in a sequence, or by Keras' classes and counts: never by order alone."""
    models = [of_nn(), of_front(), of_nn(names)]
    for k, model in enumerate(models):
        path = tg.save(drawn(model, k), tmp_path / f"{k}.{ending}")
        for other in models[:2] if names[0] != "a" else [model]:
            tg.load(path, drawn(other, 7 + k))
            assert arrays(other) == arrays(model)
    if names[0] == "a":
        with pytest.raises(ArgumentError, match="expected the paths of Sequential, got missing"):
            tg.load(path, models[0])


def test_weights_of_another_model_change_nothing(tmp_path):
    net = drawn(of_nn(), 0)
    before = arrays(net)
    state = net.state_dict()
    wrong = {
        "shape": state | {"3.weight": np.zeros((5, 2), "float32")},
        "missing": {name: x for name, x in state.items() if name != "3.bias"},
        "unexpected": state | {"4.weight": np.zeros(3)},
        "values": state | {"3.weight": np.full((27, 2), 1e300)},
    }
    for said, error in (
        ("shape", (ShapeError, r"3.weight: \(27, 2\) and \(5, 2\)")), ("missing", (ArgumentError, "missing 3.bias")),
        ("unexpected", (ArgumentError, "unexpected 4.weight")), ("values", (ArgumentError, "3.weight: expected")),
    ):  # fmt: skip
        for ending in ("npz", "safetensors"):
            path = tg.save(wrong[said], tmp_path / f"{said}.{ending}")
            with pytest.raises(error[0], match=error[1]):
                tg.load(path, net)
            assert arrays(net) == before


def test_shared_weights_are_saved_once(tmp_path):
    dense = nn.Dense(3, in_features=3)

    class Twice(nn.Module):
        def __init__(self):
            self.b, self.a = dense, [dense, nn.Dense(3, in_features=3)]

    net = drawn(Twice(), 0)
    path = tg.save(net, tmp_path / "w.npz")
    assert sorted(tg.load(path)) == ["a.1.bias", "a.1.weight", "b.bias", "b.weight"]
    before = arrays(net)
    tg.load(path, drawn(net, 1))
    assert arrays(net) == before


def test_bad_calls(tmp_path):
    for call, error, told in (
        (lambda: tg.save(of_nn(), tmp_path / "w.pickle"), ArgumentError, "expected a file with the ending"),
        (lambda: tg.save(of_nn(), 3), DTypeError, "expected a path"),
        (lambda: tg.save(3, tmp_path / "w.npz"), DTypeError, "expected a module"),
        (lambda: tg.save(nn.Sequential(nn.Dense(3)), tmp_path / "w.npz"), ArgumentError, "build it or call it once"),
        (lambda: tg.save({"x": "text"}, tmp_path / "w.npz"), DTypeError, "expected numbers"),
        (lambda: tg.save({"x": np.longdouble(1)}, tmp_path / "w.safetensors"), DTypeError, "expected a dtype of BOOL"),
        (lambda: tg.save(of_nn(), tmp_path / "w.keras"), ArgumentError, "use .weights.h5"),
        (lambda: tg.load(tmp_path / "nothing"), DataError, "No such file"),
        (lambda: tg.load(tg.save(of_nn(), tmp_path / "w.npz"), 3), DTypeError, "expected a module"),
        (lambda: tg.load(tg.save(of_nn(), tmp_path / "w.npz"), nn.Sequential(nn.Dense(3))), ArgumentError, "build it"),
    ):  # fmt: skip
        with pytest.raises(error, match=told):
            call()
    assert [path.name for path in tmp_path.iterdir()] == ["w.npz"]
