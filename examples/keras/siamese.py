"""A siamese net with a contrastive loss: do two images show the same digit?"""

import tinygrad_conv.keras_backend

import keras
import numpy as np
from keras import layers, ops

from tinygrad_conv import data

keras.utils.set_random_seed(0)
digits = data.mnist()


def pairs(images, labels, rng):
    """For each image one of the same class and one of another; 1 if they differ."""
    images = images[..., None].astype("float32") / 255
    of_class = [np.flatnonzero(labels == c) for c in range(10)]
    same = [rng.choice(of_class[c]) for c in labels]
    other = [rng.choice(of_class[(c + rng.integers(1, 10)) % 10]) for c in labels]
    first = np.concatenate([images, images])
    second = images[same + other]
    return [first, second], np.repeat([0.0, 1.0], len(images)).astype("float32")


rng = np.random.default_rng(0)
x_train, y_train = pairs(digits.train_images[:5000], digits.train_labels[:5000].astype(int), rng)
x_test, y_test = pairs(digits.test_images[:1000], digits.test_labels[:1000].astype(int), rng)


def distance(vectors):
    a, b = vectors
    return ops.sqrt(ops.maximum(ops.sum(ops.square(a - b), axis=1, keepdims=True), keras.backend.epsilon()))


def contrastive(y_true, y_pred, margin=1.0):
    near, far = ops.square(y_pred), ops.square(ops.maximum(margin - y_pred, 0))
    return ops.mean((1 - y_true) * near + y_true * far)


twin = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(8, 5, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(16, 5, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.BatchNormalization(),
        layers.Dense(10, activation="tanh"),
    ]
)
left, right = keras.Input((28, 28, 1)), keras.Input((28, 28, 1))
apart = layers.Lambda(distance, output_shape=(1,))([twin(left), twin(right)])
x = layers.BatchNormalization()(apart)
# From ones, far apart means different from the start; a negative weight would have to be unlearnt.
siamese = keras.Model([left, right], layers.Dense(1, activation="sigmoid", kernel_initializer="ones")(x))
siamese.compile("adam", contrastive, metrics=["accuracy"])
siamese.fit(x_train, y_train, batch_size=64, epochs=4, verbose=2)

_, accuracy = siamese.evaluate(x_test, y_test, verbose=0)
print(f"{accuracy:.1%} of the pairs are told apart")
assert accuracy > 0.92
