"""A U-Net says of each pixel whether it is of a disc, of a square, or of neither."""

import tinygrad_conv.keras_backend

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(1)


def drawn(count, rng, side=32):
    """Noisy grey images with one disc and one square, and the class of each pixel."""
    rows, columns = np.mgrid[:side, :side]
    labels = np.zeros((count, side, side), "int32")
    for label in labels:
        (y, x), (v, u) = rng.integers(6, side - 6, (2, 2))
        label[(rows - y) ** 2 + (columns - x) ** 2 <= 5**2] = 1
        label[(abs(rows - v) <= 4) & (abs(columns - u) <= 4)] = 2
    return (np.minimum(labels, 1) * 0.6 + rng.normal(0, 0.15, labels.shape))[..., None].astype("float32"), labels


rng = np.random.default_rng(0)
x_train, y_train = drawn(400, rng)
x_test, y_test = drawn(100, rng)


def block(x, filters):
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
    return x


source = keras.Input((32, 32, 1))
x, skips = source, []
for filters in (8, 16):
    x = block(x, filters)
    skips.append(x)
    x = layers.MaxPooling2D(2)(x)
x = block(x, 32)
for filters, skip in ((16, skips[1]), (8, skips[0])):
    x = layers.Concatenate()([layers.UpSampling2D(2)(x), skip])
    x = block(x, filters)
model = keras.Model(source, layers.Conv2D(3, 1)(x))
rate = keras.optimizers.schedules.CosineDecay(1e-2, 300)
model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(x_train, y_train, batch_size=16, epochs=12, validation_data=(x_test, y_test), verbose=2)

iou = keras.metrics.MeanIoU(3, sparse_y_pred=False)
iou.update_state(y_test, model.predict(x_test, verbose=0))
print(f"mean intersection over union {float(iou.result()):.3f}")
assert iou.result() > 0.9
