"""A convolutional autoencoder takes noise off digits: how much of it is left."""

import tinygrad_conv.keras_backend

import keras
import numpy as np
from keras import layers

from tinygrad_conv import data

keras.utils.set_random_seed(0)
digits = data.mnist()
clean_train = digits.train_images[:3000, ..., None].astype("float32") / 255
clean_test = digits.test_images[:500, ..., None].astype("float32") / 255


rng = np.random.default_rng(0)


def noisy(images):
    return np.clip(images + rng.normal(0, 0.4, images.shape), 0, 1).astype("float32")


source = keras.Input((28, 28, 1))
x = layers.Conv2D(16, 3, activation="relu", padding="same")(source)
x = layers.MaxPooling2D(2, padding="same")(x)
x = layers.Conv2D(16, 3, activation="relu", padding="same")(x)
x = layers.MaxPooling2D(2, padding="same")(x)
x = layers.Conv2DTranspose(16, 3, strides=2, activation="relu", padding="same")(x)
x = layers.Conv2DTranspose(16, 3, strides=2, activation="relu", padding="same")(x)
x = layers.Conv2D(1, 3, activation="sigmoid", padding="same")(x)
autoencoder = keras.Model(source, x, name="autoencoder")
autoencoder.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy")
autoencoder.fit(noisy(clean_train), clean_train, batch_size=32, epochs=2, verbose=2)

seen = noisy(clean_test)
before = np.mean((seen - clean_test) ** 2)
after = np.mean((autoencoder.predict(seen, verbose=0) - clean_test) ** 2)
print(f"mean squared error: {before:.4f} with the noise, {after:.4f} without")
assert after < 0.25 * before
