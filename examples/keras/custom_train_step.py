"""A train step of one's own, written as on PyTorch: images are mixed with each other, and gradients are clipped."""

import tinygrad_conv.keras_backend

import keras
from keras import layers, ops

from tinygrad_conv import data

keras.utils.set_random_seed(0)
digits = data.mnist()
x_train, x_test = (images[..., None].astype("float32") / 255 for images in (digits.train_images, digits.test_images))
y_train, y_test = (keras.utils.to_categorical(labels, 10) for labels in (digits.train_labels, digits.test_labels))


class Mixed(keras.Model):
    """A net that trains on mean images of each two."""

    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(16, 5, strides=2, activation="relu")
        self.pool = layers.MaxPooling2D(2)
        self.dense = layers.Dense(10)
        self.seeds = keras.random.SeedGenerator(0)
        self.seen = keras.metrics.Mean(name="loss")
        self.norm = keras.metrics.Mean(name="norm")
        self.right = keras.metrics.CategoricalAccuracy(name="accuracy")

    @property
    def metrics(self):
        return [self.seen, self.norm, self.right]

    def call(self, images):
        return self.dense(layers.Flatten()(self.pool(self.conv(images))))

    def train_step(self, batch):
        x, y = batch
        share = keras.random.uniform((x.shape[0], 1), 0.8, 1.0, seed=self.seeds)
        x = share[:, :, None, None] * x + (1 - share[:, :, None, None]) * ops.flip(x, 0)
        y = share * y + (1 - share) * ops.flip(y, 0)
        logits = self(x, training=True)
        loss = ops.mean(ops.categorical_crossentropy(y, logits, from_logits=True))
        weights = self.trainable_weights
        for weight in weights:
            weight.value.grad = None
        loss.backward()
        gradients = [weight.value.grad for weight in weights]
        norm = ops.sqrt(sum(ops.sum(ops.square(g)) for g in gradients))
        gradients = [g * ops.minimum(1.0, 2.0 / norm) for g in gradients]
        self.optimizer.apply(gradients, weights)
        self.seen.update_state(loss.detach())
        self.norm.update_state(norm)
        return {"loss": self.seen.result(), "norm": self.norm.result()}

    def test_step(self, batch):
        x, y = batch
        self.right.update_state(y, self(x, training=False))
        return {"accuracy": self.right.result()}


model = Mixed()
model.compile(keras.optimizers.Adam(2e-3))
history = model.fit(x_train, y_train, batch_size=100, epochs=4, verbose=2).history
accuracy = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]
print(f"loss {history['loss'][0]:.3f} to {history['loss'][-1]:.3f}; test accuracy {accuracy:.3f}")
assert history["loss"][-1] < history["loss"][0]
assert accuracy > 0.95
