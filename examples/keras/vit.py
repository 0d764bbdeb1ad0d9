"""A vision transformer on small images: patches, attention among them, accuracy."""

import tinygrad_conv.keras_backend

import keras
from keras import layers, ops

from tinygrad_conv import data

keras.utils.set_random_seed(0)
digits = data.mnist()
x_train = digits.train_images[:4000, ..., None].astype("float32") / 255
x_test = digits.test_images[..., None].astype("float32") / 255
PATCH, WIDTH, HEADS, DEPTH = 7, 48, 4, 2


class Patches(layers.Layer):
    """Images as sequences of flat patches."""

    def call(self, images):
        patches = ops.image.extract_patches(images, PATCH)
        return ops.reshape(patches, (-1, patches.shape[1] * patches.shape[2], patches.shape[3]))


class Places(layers.Layer):
    """Patches as vectors, with what stands for their places added."""

    def build(self, shape):
        self.dense = layers.Dense(WIDTH)
        self.dense.build(shape)
        self.embedding = layers.Embedding(shape[1], WIDTH)
        self.embedding.build((shape[1],))

    def call(self, patches):
        return self.dense(patches) + self.embedding(ops.arange(patches.shape[1]))


source = keras.Input((28, 28, 1))
x = Places()(Patches()(source))
for _ in range(DEPTH):
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(HEADS, WIDTH // HEADS, dropout=0.1)(y, y)])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(WIDTH)(layers.Dense(2 * WIDTH, activation="gelu")(y))
    x = layers.Add()([x, y])
x = layers.Flatten()(layers.LayerNormalization()(x))
model = keras.Model(source, layers.Dense(10)(x))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.AdamW(3e-3, weight_decay=1e-4), loss, metrics=["accuracy"])
model.fit(x_train, digits.train_labels[:4000], batch_size=25, epochs=2, verbose=2)

_, accuracy = model.evaluate(x_test, digits.test_labels, verbose=0)
print(f"test accuracy {accuracy:.3f}")
assert accuracy > 0.88
