# ruff: noqa: W291, W293  (the lecture's listings are kept to the letter)
"""The lecture's numbers and code: its listings run word for word, and so does Keras' "Simple MNIST convnet"."""

import tracemalloc

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv import keras, nn

# The two listings as the lecture prints them, line breaks and comments included.
NET = """
model = Sequential()
model.add(Dense(10, input_dim=784)) # INTRODUCE NON-LINEARITY
model.add(Activation('relu'))
model.add(Dense(10))

 
# linear separator bits
model.add(Activation('softmax'))
model.compile(loss='categorical_crossentropy',
              optimizer='sgd',
              metrics=['accuracy'])

model.fit(train_images, to_categorical(train_labels), epochs=20)
"""
CONV = """Conv2D(  
    filter_size=24,  
    kernel_size=(2,2),  
    strides=(1,1),  
    padding='valid',  
    input_shape=(128, 128, 3),  
    channels_last=True  
)"""
POOL = """MaxPooling2D(  
    pool_size=(2, 2),  
    strides=None,  
    padding='valid',  
    data_format=None  
)"""

# From Keras' documentation, without its import lines and its loading of the data.
SIMPLE_MNIST_CONVNET = """
num_classes = 10
input_shape = (28, 28, 1)

y_train = keras.utils.to_categorical(y_train, num_classes)
y_test = keras.utils.to_categorical(y_test, num_classes)

model = keras.Sequential(
    [
        keras.Input(shape=input_shape),
        layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(num_classes, activation="softmax"),
    ]
)

model.summary()

batch_size = 128
epochs = 15

model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])

model.fit(x_train, y_train, batch_size=batch_size, epochs=epochs, validation_split=0.1)

score = model.evaluate(x_test, y_test, verbose=0)
print("Test loss:", score[0])
print("Test accuracy:", score[1])
"""


def blobs(n, seed=0):
    """Ten classes of 28x28 images that differ in where their bright square is."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    images = 0.2 * rng.random((n, 28, 28), dtype=np.float32)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 4)
        image[8 * row + 2 : 8 * row + 8, 7 * column : 7 * column + 6] += 0.8
    return images, labels


def everything():
    names = {}
    exec("from tinygrad_conv.keras import *", names)
    return names


def test_the_first_listing_runs_and_learns():
    keras.utils.set_random_seed(0)
    images, labels = blobs(600)
    names = everything() | {"train_images": images.reshape(-1, 784), "train_labels": labels}
    exec(NET, names)
    model = names["model"]
    assert model.count_params() == 7840 + 10 + 100 + 10 == 7960
    accuracy = model.history.history["accuracy"]
    assert len(accuracy) == 20
    assert accuracy[-1] > 0.9


def test_a_hidden_layer_of_a_unit_per_pixel_has_a_billion_weights():
    tracemalloc.start()
    model = keras.Sequential(
        [keras.Input((200, 200)), keras.layers.Flatten(), keras.layers.Dense(40_000, use_bias=False)]
    )
    lines = []
    model.summary(print_fn=lines.append)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert "40000*40000 = 1,600,000,000" in lines[0]
    assert model.count_params() == 1.6e9
    assert not model.layers[1].built


def test_the_convolution_listing_and_how_96_becomes_312():
    names = everything()
    model = names["Sequential"]([eval(CONV, names), eval(POOL, names)])
    assert model.layers[0].output_shape((None, 128, 128, 3)) == (None, 127, 127, 24)
    assert model.output_shape == (None, 63, 63, 24)
    assert model.count_params() == 24 * (4 * 3 + 1) == 312
    lines = []
    model.summary(print_fn=lines.append)
    assert "24*(2*2*3 + 1) = 312" in lines[0]
    assert "24*4 = 96 weights see one channel; 3 channels and a bias each make it 24*(4*3 + 1) = 312" in lines[0]
    assert keras.layers.Conv2D(24, 2, use_bias=False).count_parameters((None, 128, 128, 1)) == 24 * 4 == 96
    assert model.predict(np.zeros((2, 128, 128, 3))).shape == (2, 63, 63, 24)


def test_the_worked_example():
    x = np.array([[1.0, 0, 2], [2, -1, 4], [0, -5, 3]])
    layer = nn.Conv2D(1, 2, in_channels=1, use_bias=False, dtype="float64")
    layer.weight.data = np.array([[1.0, -1], [-1, 1]]).reshape(2, 2, 1, 1)
    assert layer(x[None, :, :, None]).reshape(2, 2).tolist() == [[-2, 3], [-2, 3]]


def test_sharing_weights_cuts_parameters():
    """Everything sees everything; each unit sees its patch; all share one patch's weights."""
    image = (None, 200, 200, 1)
    dense = nn.Sequential([nn.Flatten(), nn.Dense(191 * 191, use_bias=False)])
    local, shared = nn.LocallyConnected2D(1, 10, use_bias=False), nn.Conv2D(1, 10, use_bias=False)
    counts = [layer.count_parameters(image) for layer in (dense, local, shared)]
    assert counts == [200 * 200 * 191 * 191, 191 * 191 * 100, 100]


def test_pooling_has_no_parameters_and_shrinks():
    for pool in (nn.MaxPool2D(), nn.AvgPool2D()):
        assert pool.count_parameters((None, 28, 28, 8)) == 0
        assert pool.output_shape((None, 28, 28, 8)) == (None, 14, 14, 8)
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    assert nn.MaxPool2D()(x).reshape(2, 2).tolist() == [[5, 7], [13, 15]]
    assert nn.AvgPool2D()(x).reshape(2, 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]


@pytest.mark.filterwarnings("error")
def test_keras_simple_mnist_convnet(capsys):
    keras.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = blobs(256), blobs(100, seed=1)
    names = {
        "np": np, "keras": keras, "layers": keras.layers, "y_train": y_train, "y_test": y_test,
        "x_train": x_train[..., None], "x_test": x_test[..., None],
    }  # fmt: skip
    code = SIMPLE_MNIST_CONVNET.replace("epochs = 15", "epochs = 6")
    exec(code, names)
    out = capsys.readouterr().out
    assert names["model"].count_params() == 34_826
    assert "34,826" in out
    assert "Test accuracy:" in out
    assert names["score"][1] > 0.5


def test_a_deep_convnet_is_images_to_images_and_then_dense_layers():
    model = tg.nn.Sequential(
        [
            nn.Conv2D(8, 3),
            tg.relu,
            nn.MaxPool2D(),
            nn.Conv2D(16, 3),
            tg.relu,
            nn.MaxPool2D(),
            nn.Flatten(),
            nn.Dense(10),
        ]
    )
    shapes = model.shapes((None, 28, 28, 1))
    assert [len(shape) for shape in shapes] == [4] * 7 + [2, 2]
    assert shapes[-2] == (None, 5 * 5 * 16)
