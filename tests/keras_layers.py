"""Every layer that Keras has, with arguments and inputs: outputs and gradients on the backend that this runs on.

python tests/keras_layers.py FILE    computes all cases, and writes what comes out (.npz)
"""

import sys
from functools import partial

import numpy as np

IMAGE, SERIES, VECTOR, VOLUME = (2, 6, 7, 3), (2, 6, 4), (3, 5), (2, 5, 6, 4, 2)
FRAMES = {1: (2, 3, 5, 2), 2: (2, 3, 5, 4, 2), 3: (2, 3, 4, 3, 4, 2)}

OTHERS = {
    "FlaxLayer": "another library's", "JaxLayer": "another library's", "TFSMLayer": "another library's",
    "TorchModuleWrapper": "another library's",
    "InputLayer": "computes nothing", "Layer": "computes nothing", "Wrapper": "computes nothing",
    "CategoryEncoding": "of labels", "Discretization": "of labels", "HashedCrossing": "of labels",
    "Hashing": "of labels",
    "IntegerLookup": "of labels", "StringLookup": "of labels", "TextVectorization": "of labels",
    "MaxNumBoundingBoxes": "of labels",
}  # fmt: skip
RANDOM = {  # at rest in the table of cases; with numbers drawn: what it is called with
    "AlphaDropout": {"rate": 0.3}, "Dropout": {"rate": 0.3}, "GaussianDropout": {"rate": 0.3},
    "GaussianNoise": {"stddev": 0.3}, "SpatialDropout1D": {"rate": 0.3}, "SpatialDropout2D": {"rate": 0.3},
    "SpatialDropout3D": {"rate": 0.3}, "RandomBrightness": {"factor": 0.3, "value_range": (-9, 9)},
    "RandomCrop": {"height": 3, "width": 4}, "RandomFlip": {},
    "RandomTranslation": {"height_factor": 0.3, "width_factor": 0.3},
    "RandomRotation": {"factor": 0.3}, "RandomZoom": {"height_factor": 0.3}, "RandomShear": {"x_factor": 0.3},
    "RandomPerspective": {"factor": 0.5},
    "RandomElasticTransform": {"factor": 1.0}, "RandomInvert": {"factor": 1.0, "value_range": (-9, 9)},
    "RandomContrast": {"factor": 0.3, "value_range": (-99, 99)}, "RandomGaussianBlur": {"value_range": (-9, 9)},
    "RandomGrayscale": {"factor": 1.0}, "RandomSaturation": {"factor": 0.3, "value_range": (0, 9)},
    "RandomSharpness": {"factor": 0.7, "value_range": (-99, 99)}, "RandomErasing": {"value_range": (-9, 9)},
    "RandomHue": {"factor": 0.3, "value_range": (0, 9)}, "RandomPosterization": {"factor": 4, "value_range": (0, 9)},
    "RandomColorDegeneration": {"factor": 0.7, "value_range": (-9, 9)},
}  # fmt: skip


def cases(keras):
    """(class, arguments or a function that makes the layer, shapes of inputs[, arguments of the call[, how]])."""
    layers = keras.layers

    def of(*names, shape=IMAGE, **arguments):
        return [(name, arguments, [shape]) for name in names]

    for k, shape in ((1, SERIES), (2, IMAGE), (3, VOLUME)):
        for kind in ("Conv", "SeparableConv", "DepthwiseConv") if k < 3 else ("Conv",):
            filters = {} if kind == "DepthwiseConv" else {"filters": 4}
            yield from of(f"{kind}{k}D", shape=shape, kernel_size=3, **filters)
            yield from of(f"{kind}{k}D", shape=shape, kernel_size=2, strides=2, padding="same", **filters)
        yield from of(f"Conv{k}D", shape=shape, filters=2 * shape[-1], kernel_size=2, dilation_rate=2, groups=shape[-1])
        yield from of(f"Conv{k}DTranspose", shape=shape, filters=3, kernel_size=3, strides=2)
        yield from of(f"Conv{k}DTranspose", shape=shape, filters=3, kernel_size=3, strides=2, padding="same")
        for kind in ("Average", "Max"):
            yield from of(f"{kind}Pooling{k}D", shape=shape, pool_size=2)
            yield from of(f"{kind}Pooling{k}D", shape=shape, pool_size=3, strides=1, padding="same")
            yield from of(f"Global{kind}Pooling{k}D", shape=shape)
            yield from of(f"Adaptive{kind}Pooling{k}D", shape=shape, output_size=2)
        yield from of(f"ZeroPadding{k}D", f"UpSampling{k}D", f"Cropping{k}D", shape=shape)
        yield from of(f"SpatialDropout{k}D", shape=shape, rate=0.3)
        yield from of(f"ConvLSTM{k}D", shape=FRAMES[k], filters=2, kernel_size=2)
        yield from of(f"ConvLSTM{k}D", shape=FRAMES[k], filters=2, kernel_size=2, padding="same", return_sequences=True)
    for mode in ("nearest", "bilinear"):
        yield from of("UpSampling2D", interpolation=mode)
        yield from of("Resizing", height=4, width=9, interpolation=mode)
    yield from of("CenterCrop", height=3, width=4)
    yield from of("ZeroPadding2D", padding=((1, 0), (2, 3)), data_format="channels_first")

    yield from of("Dense", shape=VECTOR, units=3)
    yield from of("Dense", shape=SERIES, units=3, activation="gelu", use_bias=False)
    yield from of("Dense", shape=VECTOR, units=3, lora_rank=2)
    yield from of("EinsumDense", shape=SERIES, equation="abc,cde->abde", output_shape=(None, 2, 3), bias_axes="e")
    yield from of("Flatten", "Identity", "UnitNormalization", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax")
    yield from of("ReLU", max_value=1.0, negative_slope=0.1, threshold=0.2)
    yield from of("Softmax", axis=(1, 2))
    yield from of("PReLU", shared_axes=(1, 2))
    yield from of("Reshape", target_shape=(7, -1))
    yield from of("Permute", dims=(3, 1, 2))
    yield from of("RepeatVector", shape=VECTOR, n=3)
    yield from of("Rescaling", scale=0.5, offset=1.0)
    yield from of("Normalization", mean=(0.1, 0.2, 0.3), variance=(1.0, 2.0, 3.0))
    yield from of("ActivityRegularization", l1=0.1, l2=0.2)
    yield from of("BatchNormalization")
    yield "BatchNormalization", {}, [IMAGE], {"training": True}
    yield "BatchNormalization", {"axis": 1, "scale": False}, [IMAGE], {"training": True}
    yield from of("LayerNormalization", "RMSNormalization", shape=SERIES)
    yield from of("GroupNormalization", shape=SERIES, groups=2)
    yield from of("LayerNormalization", axis=(2, 3), center=False)
    yield from of("GroupNormalization", groups=-1)
    for name in sorted(set(dir(keras.activations)) - {"get", "serialize", "deserialize", "threshold"}):
        if not name.startswith("_"):
            yield from of("Activation", shape=SERIES, activation=name)
    for name in ("AlphaDropout", "Dropout", "GaussianDropout"):
        yield from of(name, rate=0.3)
    yield from of("GaussianNoise", stddev=0.3)

    for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract", "Concatenate"):
        yield name, {}, [SERIES, SERIES]
    for name in ("Add", "Average", "Maximum", "Minimum", "Multiply"):
        yield name, {}, [SERIES, SERIES[:1] + (1, 4), SERIES]
    yield "Concatenate", {"axis": 1}, [SERIES, (2, 3, 4)]
    yield "Dot", {"axes": (2, 1)}, [SERIES, (2, 4, 3)]
    yield "Dot", {"axes": 1, "normalize": True}, [VECTOR, VECTOR]

    for name, more in (("SimpleRNN", {}), ("LSTM", {}), ("GRU", {}), ("GRU", {"reset_after": False})):
        yield name, {"units": 3, **more}, [SERIES]
        yield name, {"units": 3, "return_sequences": True, "go_backwards": True, **more}, [SERIES]
        yield name, {"units": 3, "return_state": True, **more}, [SERIES], {"mask": _mask(SERIES[:2])}
    cells = (("SimpleRNNCell", 1), ("GRUCell", 1), ("LSTMCell", 2))
    for name, states in cells:
        cell = getattr(layers, name)
        yield name, {"units": 4}, [(3, 5), *[(3, 4)] * states], {}, "states"
        yield "RNN", lambda cell=cell: layers.RNN(cell(3)), [SERIES]
    yield "RNN", lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], return_sequences=True), [SERIES]
    yield (
        "StackedRNNCells",
        lambda: layers.RNN(layers.StackedRNNCells([layers.GRUCell(3), layers.GRUCell(2)])),
        [SERIES],
    )
    yield "Bidirectional", lambda: layers.Bidirectional(layers.LSTM(3, return_sequences=True)), [SERIES]
    yield "Bidirectional", lambda: layers.Bidirectional(layers.GRU(3), merge_mode="sum"), [SERIES]
    yield "TimeDistributed", lambda: layers.TimeDistributed(layers.Conv1D(2, 3)), [IMAGE]
    yield "SpectralNormalization", lambda: layers.SpectralNormalization(layers.Dense(3)), [VECTOR]
    yield "Masking", lambda: keras.Sequential([layers.Masking(), layers.LSTM(3)]), [SERIES]
    yield "Lambda", lambda: layers.Lambda(lambda x: keras.ops.tanh(x) * x), [SERIES]
    yield "Pipeline", lambda: layers.Pipeline([layers.Rescaling(2.0), layers.CenterCrop(3, 3)]), [IMAGE]

    for name in ("Attention", "AdditiveAttention"):
        yield name, {}, [SERIES, (2, 5, 4)]
        yield name, {}, [SERIES, (2, 5, 4), (2, 5, 4)]
    yield "Attention", {"use_scale": True, "score_mode": "concat"}, [SERIES, (2, 5, 4)]
    yield "Attention", {"use_scale": True}, [SERIES, SERIES], {"use_causal_mask": True}
    many = {"num_heads": 2, "key_dim": 3}
    yield "MultiHeadAttention", many, [SERIES, (2, 5, 4)], {}, "apart"
    yield "MultiHeadAttention", {**many, "value_dim": 2}, [SERIES, SERIES], {"use_causal_mask": True}, "apart"
    yield (
        "GroupQueryAttention",
        {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
        [SERIES, SERIES],
        {},
        "apart",
    )

    labels = np.array([[0, 2, 1], [2, 2, 0]])
    yield "Embedding", {"input_dim": 3, "output_dim": 4}, [labels]
    yield "Embedding", {"input_dim": 3, "output_dim": 4, "lora_rank": 2}, [labels]
    yield "ReversibleEmbedding", {"input_dim": 3, "output_dim": 4}, [labels]
    yield "ReversibleEmbedding", {"input_dim": 5, "output_dim": 4}, [SERIES], {"reverse": True}
    yield "STFTSpectrogram", {"frame_length": 8, "frame_step": 4}, [(2, 20, 1)]
    yield "MelSpectrogram", {"fft_length": 16, "sequence_stride": 8, "sampling_rate": 100, "num_mel_bins": 4}, [(2, 40)]
    resting = {name: arguments for name, arguments in RANDOM.items() if name.startswith("Random")}
    resting |= {name: {} for name in PREPROCESSING}
    for name, arguments in resting.items():
        yield name, arguments, [IMAGE], {"training": False}


PREPROCESSING = (
    "AugMix", "AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "CutMix", "Equalization", "MixUp",
    "RandAugment", "RandomColorJitter",
    "Solarization",
)  # fmt: skip


def _mask(shape):
    return np.arange(shape[1]) < np.array([[shape[1]], [shape[1] - 2]])


def made(keras, name, arguments):
    return arguments() if callable(arguments) else getattr(keras.layers, name)(**arguments)


def drawn(shape, seed):
    """Numbers of one shape; those of an array of labels are that array."""
    return (
        shape if isinstance(shape, np.ndarray) else np.random.default_rng(seed).normal(0.1, 1, shape).astype("float32")
    )


def outcome(keras, name, arguments, shapes, call=None, how=None):
    """Outputs, and the gradients of inputs and weights, by name."""
    layer = made(keras, name, arguments)
    inputs = [
        keras.Variable(drawn(shape, k), dtype=None if follows else "int32", trainable=follows)
        for k, (shape, follows) in enumerate((shape, isinstance(shape, tuple)) for shape in shapes)
    ]
    values = [x.value for x in inputs]
    if how == "states":
        run = partial(layer, values[0], values[1:])
    elif how == "apart" or len(values) == 1:
        run = partial(layer, *values)
    else:
        run = partial(layer, values)
    run(**call or {})  # makes its weights
    for k, weight in enumerate(layer.weights):
        if weight.dtype == "float32":
            value = drawn(weight.shape, 100 + k) * 0.5
            weight.assign(np.abs(value) + 0.5 if "variance" in weight.name else value)
    outputs = keras.tree.flatten(run(**call or {}))
    pulls = [drawn(tuple(y.shape), 200 + k) for k, y in enumerate(outputs)]
    loss = sum(keras.ops.sum(keras.ops.multiply(y, pull)) for y, pull in zip(outputs, pulls, strict=True))
    loss = sum(layer.losses, loss)
    found = {f"output {k}": y for k, y in enumerate(outputs)}
    weights = layer.trainable_variables
    if any(getattr(x.value, "requires_grad", False) for x in (*inputs, *weights)) and loss.requires_grad:
        loss.backward()
    for kind, variables in (("input", inputs), ("weight", weights)):
        for k, variable in enumerate(variables):
            grad = variable.value.grad
            found[f"{kind} {k}"] = np.zeros(variable.shape, "float32") if grad is None else grad
    return {key: np.array(keras.ops.convert_to_numpy(value)) for key, value in found.items()}


def all_outcomes(keras):
    """What each case comes to; or, under "error", what was raised."""
    for k, (name, *rest) in enumerate(cases(keras)):
        keras.utils.set_random_seed(0)
        try:
            found = outcome(keras, name, *rest)
        except Exception as error:
            found = {"error": np.array(f"{type(error).__name__}: {error}")}
        yield f"{k} {name}", found


if __name__ == "__main__":
    import keras

    np.savez(
        sys.argv[1], **{f"{case}/{key}": value for case, found in all_outcomes(keras) for key, value in found.items()}
    )
