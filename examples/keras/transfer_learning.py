"""What was learnt on the digits 0 to 4 helps with 5 to 9, of which there are few: frozen layers, then fine-tuning."""

import tinygrad_conv.keras_backend

import keras
import numpy as np
from keras import layers

from tinygrad_conv import data

keras.utils.set_random_seed(0)
digits = data.mnist()


def of_classes(images, labels, low, count=None):
    picked = np.flatnonzero((labels >= low) & (labels < low + 5))[:count]
    return images[picked, ..., None].astype("float32") / 255, labels[picked].astype("int32") - low


first = of_classes(digits.train_images, digits.train_labels, 0)
few = of_classes(digits.train_images, digits.train_labels, 5, 200)
x_test, y_test = of_classes(digits.test_images, digits.test_labels, 5)

base = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(16, 3),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
    ],
    name="base",
)


def with_head(base):
    model = keras.Sequential([base, layers.Dropout(0.3), layers.Dense(5)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    return model


with_head(base).fit(*first, batch_size=64, epochs=2, verbose=2)

base.trainable = False  # batch normalization keeps its statistics, too
learnt = base.get_weights()
model = with_head(base)
model.fit(*few, batch_size=20, epochs=20, verbose=0)
_, frozen = model.evaluate(x_test, y_test, verbose=0)
assert all(np.array_equal(a, b) for a, b in zip(learnt, base.get_weights()))

base.trainable = True
base.layers[0].trainable = False
model.compile(keras.optimizers.Adam(3e-4), model.loss, metrics=["accuracy"])
model.fit(*few, batch_size=20, epochs=10, verbose=0)
_, tuned = model.evaluate(x_test, y_test, verbose=0)
assert np.array_equal(learnt[0], base.get_weights()[0])
assert not np.array_equal(learnt[-2], base.get_weights()[-2])

scratch = keras.models.clone_model(base)
scratch.trainable = True
model = with_head(scratch)
model.fit(*few, batch_size=20, epochs=30, verbose=0)
_, alone = model.evaluate(x_test, y_test, verbose=0)
print(f"test accuracy from 200 images: {frozen:.3f} frozen, {tuned:.3f} tuned, {alone:.3f} without the first digits")
assert min(frozen, tuned) > 0.85
