"""A small convnet reads digits: accuracy on 2,000 that it has not seen."""

import tinygrad_conv.keras_backend

import keras
from keras import layers

from tinygrad_conv import data

keras.utils.set_random_seed(0)
digits = data.mnist()
x_train = digits.train_images[..., None].astype("float32") / 255
x_test = digits.test_images[..., None].astype("float32") / 255
y_train = keras.utils.to_categorical(digits.train_labels, 10)
y_test = keras.utils.to_categorical(digits.test_labels, 10)

model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(10, activation="softmax"),
    ]
)
model.summary()
model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=64, epochs=3, validation_split=0.1, verbose=2)

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"test loss {loss:.3f}, accuracy {accuracy:.3f}")
assert accuracy > 0.96
