"""Lines of four digits are read by a convolutional recurrent net, from left to right; no CTC, the places are known."""

import tinygrad_conv.keras_backend

import keras
import numpy as np
from keras import layers

from tinygrad_conv import data

keras.utils.set_random_seed(0)
digits = data.mnist()
LENGTH = 4


def lines(images, labels, count, rng):
    """Digits beside each other, each a little off its place."""
    picked = rng.integers(0, len(images), (count, LENGTH))
    drawn = np.zeros((count, 32, 28 * LENGTH + 4, 1), "float32")
    for n in range(count):
        for k, index in enumerate(picked[n]):
            top, left = rng.integers(0, 5, 2)
            drawn[n, top : top + 28, 28 * k + left : 28 * k + left + 28, 0] += images[index] / 255
    return np.minimum(drawn, 1), labels[picked]


rng = np.random.default_rng(0)
x_train, y_train = lines(digits.train_images, digits.train_labels, 2000, rng)
x_test, y_test = lines(digits.test_images, digits.test_labels, 300, rng)

source = keras.Input(x_train.shape[1:])
x = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu")(source)
x = layers.Conv2D(24, 3, padding="same", activation="relu")(x)
x = layers.MaxPooling2D((4, 2))(x)
x = layers.Permute((2, 1, 3))(x)  # columns are the steps in time
x = layers.TimeDistributed(layers.Flatten())(x)
x = layers.Dense(32, activation="relu")(x)
x = layers.Bidirectional(layers.GRU(32, return_sequences=True))(x)
x = layers.Cropping1D((0, 1))(x)
x = layers.AveragePooling1D(7)(x)  # one step for each digit
model = keras.Model(source, layers.Dense(10, activation="softmax")(x))
model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=25, epochs=4, verbose=2)

read = model.predict(x_test, verbose=0).argmax(-1)
print(f"{np.mean(read == y_test):.1%} of the digits, {np.mean((read == y_test).all(1)):.1%} of the lines are right")
assert np.mean(read == y_test) > 0.9
