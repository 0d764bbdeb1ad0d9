"""Grad-CAM: where in an image a net looks. Each has one digit in one of four corners, and the map has to find it."""

import tinygrad_conv.keras_backend

import keras
import numpy as np
from keras import layers, ops

from tinygrad_conv import data

keras.utils.set_random_seed(0)
digits = data.mnist()


def in_corners(images, rng):
    """Digits in corners of images twice as large, and which corners: (row, column), 0 or 1."""
    corners = rng.integers(0, 2, (len(images), 2))
    large = rng.uniform(0, 0.2, (len(images), 56, 56, 1)).astype("float32")
    for image, canvas, (row, column) in zip(images, large, corners * 28):
        canvas[row : row + 28, column : column + 28, 0] += image / 255
    return large, corners


rng = np.random.default_rng(0)
x_train, _ = in_corners(digits.train_images[:4000], rng)
x_test, corners = in_corners(digits.test_images[:200], rng)

source = keras.Input((56, 56, 1))
x = layers.Conv2D(16, 5, strides=2, activation="relu")(source)
x = layers.MaxPooling2D(2)(x)
x = layers.Conv2D(32, 3, activation="relu", name="last_conv")(x)
x = layers.GlobalMaxPooling2D()(x)
model = keras.Model(source, layers.Dense(10)(x))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
model.fit(x_train, digits.train_labels[:4000], batch_size=64, epochs=5, verbose=2)

before = keras.Model(source, model.get_layer("last_conv").output)
after = model.layers[model.layers.index(model.get_layer("last_conv")) + 1 :]


def heatmap(image):
    """How much each place of the last convolution speaks for the class that is predicted."""
    features = keras.Variable(before(image[None]))
    x = features
    for layer in after:
        x = layer(x)
    ops.max(x).backward()
    weights = ops.mean(features.value.grad, axis=(1, 2), keepdims=True)
    return ops.convert_to_numpy(ops.relu(ops.sum(features.value * weights, axis=-1)))[0]


found = []
for image in x_test:
    row, column = np.unravel_index(np.argmax(heatmap(image)), before.output_shape[1:3])
    found.append((row >= before.output_shape[1] / 2, column >= before.output_shape[2] / 2))
share = np.mean(np.all(np.array(found) == corners, axis=1))
print(f"the hottest place is in the corner of the digit in {share:.1%} of the images")
assert share > 0.95
