"""Wrong models: the first suggestion of the error message, applied word for word to the source, makes the model run.

Each case is a model's source, a layer per line, and what it is fed. The test runs it, reads the first suggestion off
the message, edits the source as the suggestion says, and runs it again.
"""

import ast
import inspect
import re

import numpy as np
import pytest

from tinygrad_conv import keras, nn
from tinygrad_conv.errors import ArgumentError, ShapeError, TinygradConvError
from tinygrad_conv.keras import layers
from tinygrad_conv.keras.utils import to_categorical

IMAGES, COLOURS = "(2, 28, 28, 1)", "(2, 32, 32, 3)"

MODELS = {
    # wrong numbers of inputs
    "features after a pooling": (IMAGES, """
        Conv2D(8, 3, activation="relu", name="conv1")
        MaxPool2D()
        Flatten()
        Dense(10, in_features=1568, name="head")"""),
    "features after two": (IMAGES, """
        Conv2D(8, 3)
        MaxPool2D()
        Conv2D(16, 3)
        MaxPool2D()
        Flatten()
        Dense(120, in_features=16 * 7 * 7)
        Dense(10)"""),
    "features of pixels without the channels": (COLOURS, """
        Flatten()
        Dense(10, in_features=1024)"""),
    "features between dense layers": ("(2, 784)", """
        Dense(100, in_features=784)
        Dense(10, in_features=128)"""),
    "features of the first layer": ("(2, 785)", """
        Dense(10, 784)"""),
    "channels of the first convolution": (COLOURS, """
        Conv2D(8, 3, in_channels=1)
        GlobalAvgPool2D()
        Dense(10)"""),
    "channels between convolutions": (IMAGES, """
        Conv2D(8, 3)
        Conv2D(16, 3, in_channels=16)"""),
    "channels of a depthwise convolution": (COLOURS, """
        Conv2D(8, 3)
        DepthwiseConv2D(3, in_channels=3)"""),
    "channels of a transposed convolution": (COLOURS, """
        Conv2D(8, 3, stride=2)
        Conv2DTranspose(3, 3, stride=2, in_channels=16, name="up")"""),
    "features of a batch norm": (IMAGES, """
        Conv2D(8, 3)
        BatchNorm(features=16)"""),
    "channels after global pooling": (IMAGES, """
        Conv2D(8, 3)
        GlobalAvgPool2D()
        Dense(10, in_features=5408)"""),
    # windows that do not fit
    "a kernel larger than the image": ("(2, 4, 4, 1)", """
        Conv2D(8, 5)
        Flatten()
        Dense(10)"""),
    "a kernel larger than what poolings left": (IMAGES, """
        MaxPool2D(4)
        MaxPool2D(4)
        Conv2D(8, 3)
        Flatten()
        Dense(10)"""),
    "a dilated kernel": ("(2, 10, 10, 1)", """
        Conv2D(8, 3, dilation=6)"""),
    "a kernel for one axis only": ("(2, 9, 3, 1)", """
        Conv2D(8, (5, 5))"""),
    "too many poolings": (IMAGES, """
        MaxPool2D()
        MaxPool2D()
        MaxPool2D()
        MaxPool2D()
        MaxPool2D()
        Flatten()
        Dense(10)"""),
    "too many poolings before a given size": (IMAGES, """
        Conv2D(4, 3, padding="same")
        MaxPool2D(4)
        MaxPool2D(4)
        MaxPool2D(4)
        Flatten()
        Dense(10, in_features=4)"""),
    "a pooling of padding alone": (IMAGES, """
        MaxPool2D(2, padding=2)"""),
    "more output padding than stride": (IMAGES, """
        Conv2DTranspose(8, 3, stride=2, output_padding=2)"""),
    # groups
    "groups that do not divide the channels": (IMAGES, """
        Conv2D(8, 3)
        Conv2D(16, 3, groups=3)"""),
    "groups that do not divide the filters": (IMAGES, """
        Conv2D(8, 3)
        Conv2D(15, 3, groups=4)"""),
    "more groups than channels to normalise": (IMAGES, """
        Conv2D(8, 3)
        GroupNorm()"""),
    # axes
    "a missing Flatten": (IMAGES, """
        Conv2D(8, 3)
        MaxPool2D()
        Dense(10, in_features=1352)"""),
    "a missing Flatten and a wrong size": (IMAGES, """
        Conv2D(8, 3)
        Dense(10, in_features=999)"""),
    "images for a dense layer": ("(2, 28, 28)", """
        Dense(10, in_features=784)"""),
    "channels first": ("(2, 3, 32, 32)", """
        Conv2D(8, 3, in_channels=3)
        Flatten()
        Dense(10)"""),
    "channels first, one of them": ("(2, 1, 28, 28)", """
        Conv2D(8, 3)
        MaxPool2D()
        Flatten()
        Dense(10)"""),
    "channels last for a layer of channels first": (COLOURS, """
        Conv2D(8, 3, in_channels=3, data_format="channels_first")
        Flatten()
        Dense(10)"""),
    "grey images without an axis for that": ("(2, 28, 28)", """
        Conv2D(8, 3)
        Flatten()
        Dense(10)"""),
    "an axis missing in the middle": ("(2, 10)", """
        Dense(784)
        Reshape((28, 28))
        Conv2D(8, 3)"""),
    "one image instead of a batch": ("(32, 32, 3)", """
        Conv2D(8, 3, in_channels=3)
        Flatten()
        Dense(10)"""),
    "one row instead of a batch": ("(784,)", """
        Dense(10, in_features=784)"""),
    "flat images for a convolution": ("(2, 784)", """
        Conv2D(8, 3)
        Flatten()
        Dense(10)"""),
    "flat images of colours for a convolution": ("(2, 3072)", """
        Conv2D(8, 3, in_channels=3, name="conv")
        Flatten()
        Dense(10)"""),
    "a convolution of the wrong rank": (IMAGES, """
        Conv1D(8, 3)
        Flatten()
        Dense(10)"""),
    "a pooling after Flatten": (IMAGES, """
        Conv2D(8, 3)
        Flatten()
        MaxPool2D()
        Dense(10)"""),
    "a shape of another size": ("(2, 10)", """
        Dense(392)
        Reshape((7, 7, 9))
        Conv2D(4, 3)"""),
    "a last size that does not come out": ("(2, 10)", """
        Dense(50)
        Reshape((7, -1))"""),
    # spellings and values
    "a padding misspelt": (IMAGES, """
        Conv2D(8, 3, padding="smae")"""),
    "an activation misspelt": (IMAGES, """
        Conv2D(8, 3, activation="rellu")"""),
    "no stride": (IMAGES, """
        Conv2D(8, 3, stride=0)"""),
    "negative padding": (IMAGES, """
        Conv2D(8, 3, padding=-1)"""),
    "an initialiser misspelt": (IMAGES, """
        Conv2D(8, 3, weight_init="he_norml")"""),
    "a rate in percent": (IMAGES, """
        Flatten()
        Dropout(20)"""),
}  # fmt: skip

KERAS = {
    "one unit too few": ("categorical_crossentropy", "to_categorical([3, 9], 10)", """
        Flatten()
        Dense(9, activation="softmax", name="head")"""),
    "labels that go further than the units": ("sparse_categorical_crossentropy", "np.array([3, 9])", """
        Flatten()
        Dense(9, activation="softmax", name="head")"""),
    "a missing Flatten": ("categorical_crossentropy", "to_categorical([3, 9], 10)", """
        Conv2D(4, 3)
        Dense(10, activation="softmax", name="head")"""),
    "a missing Flatten, integer labels": ("sparse_categorical_crossentropy", "np.array([3, 9])", """
        Conv2D(4, 3)
        Dense(10, activation="softmax", name="head")"""),
    "a missing Flatten, not all labels there": ("sparse_categorical_crossentropy", "np.array([3, 5])", """
        Conv2D(4, 3)
        Dense(10, activation="softmax", name="head")"""),
    "integer labels for rows": ("categorical_crossentropy", "np.array([3, 9])", """
        Flatten()
        Dense(10, activation="softmax")"""),
    "rows for integer labels": ("sparse_categorical_crossentropy", "to_categorical([3, 9], 10)", """
        Flatten()
        Dense(10, activation="softmax")"""),
    "ten units for two classes": ("binary_crossentropy", "np.array([0, 1])", """
        Flatten()
        Dense(10, activation="sigmoid", name="head")"""),
    "flat images wanted": ("mse", "np.array([0, 1])", """
        Dense(1, input_dim=784)"""),
    "channels first": ("mse", "np.array([0, 1])", """
        Conv2D(4, 3, input_shape=(1, 28, 28), data_format="channels_first")
        Flatten()
        Dense(1)"""),
    "a kernel larger than what poolings left": ("mse", "np.array([0, 1])", """
        MaxPooling2D(14, input_shape=(28, 28, 1), name="pool")
        Conv2D(4, 3, name="conv")
        Flatten()
        Dense(1)"""),
    "an activation misspelt": ("mse", "np.array([0, 1])", """
        Flatten()
        Dense(1, activation="sigmod")"""),
    "a loss misspelt": ("mean_square_error", "np.array([0, 1])", """
        Flatten()
        Dense(1)"""),
}  # fmt: skip


class Program:
    """A model's source: statements before it, its layers, and the loss."""

    def __init__(self, kind, x, layers, loss="", y="0"):
        self.kind = kind
        self.before = [f'x = np.zeros({x}, "float32")', f"y = {y}"]
        self.layers = [line.strip() for line in layers.strip().splitlines()]
        self.loss = loss

    def __str__(self):
        inside = "".join(f"    {self.kind}.{line},\n" for line in self.layers)
        lines = [*self.before, f"model = {'nn' if self.kind == 'nn' else 'keras'}.Sequential([\n{inside}])"]
        if self.loss:
            lines += [f"model.compile('sgd', loss={self.loss!r})", "model.fit(x, y, verbose=0)"]
        return "\n".join([*lines, "model(x)"])

    def run(self):
        exec(str(self), {"np": np, "nn": nn, "keras": keras, "layers": layers, "to_categorical": to_categorical})

    def place(self, name):
        """The line of the layer that a message calls by its name, or by its number."""
        named = [k for k, line in enumerate(self.layers) if f'name="{name}"' in line]
        return named[0] if named else int(name)

    def set(self, k, argument, value):
        """Give a layer's call another value for an argument, wherever it stands."""
        call = ast.parse(self.layers[k]).body[0].value
        signature = inspect.signature(getattr(nn if self.kind == "nn" else layers, call.func.id).__init__)
        position = list(signature.parameters).index(argument) - 1
        tree = ast.parse(value).body[0].value
        if position < len(call.args):
            call.args[position] = tree
        else:
            call.keywords = [keyword for keyword in call.keywords if keyword.arg != argument]
            call.keywords.append(ast.keyword(argument, tree))
        self.layers[k] = ast.unparse(call)

    def apply(self, message):
        """Edit the source as the message's first suggestion says."""
        verb, text = re.search(r"[:;] (use|add|remove|write) (.*)$", message).groups()
        first = re.split("[,;] or ", text)[0]
        kind, name = re.match(r"(\w+)(?: '([^']*)')?:", message).groups()
        failing = None if name is None else self.place(name)
        if verb == "write":
            self.before.append(first)
        elif verb == "remove":
            del self.layers[self.place(ast.literal_eval(first))]
        elif verb == "add":
            source, name, rest = re.fullmatch(r"(.*) before '([^']*)'(?: and (.*))?", first).groups()
            k = self.place(name)
            if rest:
                self.set(k, *rest.split("=", 1))
            self.layers.insert(k, source)
        elif " for " in first:
            new, old = first.split(" for ")
            self.layers[failing] = self.layers[failing].replace(old, new)
        else:
            argument, value, name = re.fullmatch(r"(\w+)=(.*?)(?: in '([^']*)')?", first).groups()
            if argument == "loss":
                self.loss = ast.literal_eval(value)
                return
            if name is None and failing is None:  # raised while the layer was made: by its class or its argument
                named = [k for k, line in enumerate(self.layers) if kind in line or f"{argument}=" in line]
                failing = named[-1]
            self.set(failing if name is None else self.place(name), argument, value)


def failure(program):
    with pytest.raises((ShapeError, ArgumentError)) as caught:
        program.run()
    return str(caught.value)


@pytest.mark.parametrize("name", MODELS)
def test_the_first_suggestion_mends_the_model(name):
    program = Program("nn", *MODELS[name])
    message = failure(program)
    program.apply(message)
    try:
        program.run()
    except TinygradConvError as error:
        pytest.fail(f"{message}\nled to\n{program}\nwhich fails: {error}")


@pytest.mark.parametrize("name", KERAS)
def test_the_first_suggestion_mends_the_keras_model(name):
    loss, y, source = KERAS[name]
    program = Program("layers", IMAGES, source, loss, y)
    message = failure(program)
    program.apply(message)
    try:
        program.run()
    except TinygradConvError as error:
        pytest.fail(f"{message}\nled to\n{program}\nwhich fails: {error}")


@pytest.mark.parametrize("name", MODELS)
def test_the_other_suggestions_mend_the_model_too(name):
    message = failure(Program("nn", *MODELS[name]))
    verb, text = re.search(r"[:;] (use|add|remove|write) (.*)$", message).groups()
    for other in text.split(", or ")[1:]:
        program = Program("nn", *MODELS[name])
        word, _, rest = other.partition(" ")
        verb, other = (word, rest) if word in ("use", "add", "remove", "write") else (verb, other)
        start = re.match(r"\w+(?: '[^']*')?:", message).group()
        program.apply(f"{start} so: {verb} {other}")
        program.run()


def test_messages_say_names_formulas_and_numbers():
    shape, source = MODELS["features after a pooling"]
    assert failure(Program("nn", shape, source)) == (
        "Dense 'head': got 1352 = 13*13*8 features, its weight has 1568 = 14*14*8 (input (2, 1352)): "
        "use in_features=1352, or padding=\"same\" in 'conv1'"
    )
    shape, source = MODELS["a kernel larger than what poolings left"]
    message = failure(Program("nn", shape, source))
    assert "(input (2, 1, 1, 1)): use padding=1, or " in message
    assert re.search(r"= \(1 \+ 0 \+ 0 - 1 \* \(3 - 1\) - 1\) // 1 \+ 1 = -1", message)
    assert "(H + top + bottom - dilation * (kh - 1) - 1) // stride + 1" in message


def test_a_model_that_needs_two_changes_still_gets_past_the_first():
    program = Program("nn", IMAGES, """
        Conv2D(8, 3, in_channels=3)
        Flatten()
        Dense(10, in_features=99)""")  # fmt: skip
    for _ in range(2):
        program.apply(failure(program))
    program.run()
    program = Program("nn", IMAGES, """
        MaxPool2D(2, padding=2, name="pool")
        Flatten()
        Dense(10, in_features=99, name="head")""")  # fmt: skip
    assert failure(program).endswith("use padding=\"same\", or remove 'pool'")  # only what gets past the pooling


def test_nearest_values_come_first():
    shape, source = MODELS["a kernel larger than the image"]
    assert failure(Program("nn", shape, source)).endswith("use kernel_size=4, or padding=1")
    shape, source = MODELS["a kernel larger than what poolings left"]
    assert failure(Program("nn", shape, source)).endswith("use padding=1, or padding=\"same\", or pool_size=2 in '1'")
    shape, source = MODELS["a missing Flatten"]
    assert failure(Program("nn", shape, source)).endswith("add Flatten() before '2', or use in_features=8")
    shape, source = MODELS["a kernel for one axis only"]
    assert failure(Program("nn", shape, source)).endswith("use kernel_size=(5, 3), or padding=1")


def test_hand_written_modules_get_the_fix_of_the_layer_itself():
    class Net(nn.Module):
        def __init__(self):
            self.conv = nn.Conv2D(8, 3)
            self.head = [nn.Flatten(), nn.Dense(10, in_features=1568)]

        def forward(self, x):
            x = self.conv(x)
            for layer in self.head:
                x = layer(x)
            return x

    with pytest.raises(
        ShapeError, match=r"^Dense 'head\.1': got 5408 features, its weight has 1568 .*: use in_features=5408$"
    ):
        Net()(np.zeros((2, 28, 28, 1)))


def test_a_nested_sequential_is_searched_as_a_whole():
    model = nn.Sequential(
        [
            nn.Sequential([nn.Conv2D(8, 3, name="conv1"), nn.MaxPool2D()], name="body"),
            nn.Sequential([nn.Flatten(), nn.Dense(10, in_features=1568)], name="head"),
        ]
    )
    with pytest.raises(
        ShapeError, match=r"Dense 'head\.1': .* use in_features=1352, or padding=\"same\" in 'body\.conv1'"
    ):
        model(np.zeros((2, 28, 28, 1)))


def test_a_model_built_for_one_image_size_says_so_for_another():
    model = nn.Sequential([nn.LocallyConnected2D(4, 3, name="local"), nn.Flatten(), nn.Dense(3, name="head")])
    model(np.zeros((1, 8, 8, 1)))
    with pytest.raises(ShapeError, match=r"'local': got images \(9, 9, 1\), its weights were made for \(8, 8, 1\)"):
        model(np.zeros((1, 9, 9, 1)))
    plain = nn.Sequential([nn.Flatten(), nn.Dense(3, name="head")])
    plain(np.zeros((1, 8, 8, 1)))
    with pytest.raises(ShapeError, match=r"got 81 = 9\*9\*1 features, its weight has 64"):
        plain(np.zeros((1, 9, 9, 1)))
