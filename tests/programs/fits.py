"""Programs that train a model with `fit`: drawn layers, losses, optimisers, and callbacks that change things."""

from textwrap import indent

from hypothesis import strategies as st

from .grammar import Part, assigned, chosen, part

__all__ = ["fits"]

HEAD = """\
import numpy as np

import tinygrad_conv as tg

eagerly = False  # or True
keras = tg.keras
tg.nn.init.seed(0)


"""
FOOT = "\n\nfor k in range(2):\n    print(k, call(k))\n"

LAYERS = {
    "dense": "keras.layers.Dense(4, activation=«'tanh'|'relu'|None|tg.sin»)",
    "dropout": "keras.layers.Dropout(«0.5|0.25|0.0»«|, seed=0»)",
    "batch norm": "keras.layers.BatchNormalization(momentum=0.5)",
    "layer norm": "keras.layers.LayerNormalization()",
    "activation": "keras.layers.Activation('«softplus|relu|tanh»')",
    "images": "keras.layers.Reshape((-1, 1, 1)), keras.layers.Conv2D(2, «1|(2, 1)»), keras.layers.Flatten()",
    "views": "keras.layers.Reshape((-1, 2)), keras.layers.Flatten()",
    "own": "Own()",
}
OWN = """\
class Own(keras.layers.Layer):
    scale, calls = 1.5, 0

    def forward(self, z):
        «self.calls += 1|self.last = z.shape|self.scale = self.scale * 0.9|z = z * 1»
        return (z * self.scale)«|* 2|+ self.calls|[:, ::-1]»"""

MODEL = """\
class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.layers = [INSIDE]
        self.scale, self.calls, self.table = 1.5, 0, {'rate': 0.5}

    def call(self, z):
        for layer in self.layers:
            z = layer(z)
        «self.calls += 1|self.last = z.shape|z = z * 1|z = z * self.table['rate']|z = z * (2 if self.training else 1)»
        return z * self.scale


model = Net()"""

TASKS = {
    "classes": Part(
        setup="y = np.arange(12) % 3",
        step="keras.layers.Dense(3«|, activation='softmax'»)",
        call="'sparse_categorical_crossentropy'",
    ),
    "numbers": Part(setup="y = x.sum(axis=1)", step="keras.layers.Dense(1)", call="«'mse'|'mae'»"),
    "tables": Part(
        setup="y = x.reshape(12, 2, 2)", step="keras.layers.Dense(4), keras.layers.Reshape((2, 2))", call="'mse'"
    ),
    "a loss of one's own": Part(
        setup="""
        calls = [0]
        y = x.sum(axis=1)


        def own(y_true, y_pred):
            calls[0] += «0|1»
            return ((y_true - y_pred) ** 2).mean(«|axis=-1») * (1 + calls[0])
        """,
        step="keras.layers.Dense(1)",
        call="own",
    ),
}

OPTIMIZERS = """\
keras.optimizers.«SGD(0.1)|SGD(0.1, momentum=0.5, nesterov=True)|Adam(0.05, epsilon=0.01)|AdamW(0.05, epsilon=0.01)|
    RMSprop(0.01, epsilon=0.01)|Adagrad(0.1)|SGD(0.1, clipnorm=0.1)|SGD(0.1, global_clipnorm=0.1)|
    SGD(0.1, weight_decay=0.1)|Adam(0.05, epsilon=0.01, clipvalue=0.05)|
    SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5))»"""
EVENTS = "on_«train_batch_begin|train_batch_end|epoch_begin|epoch_end»"

OF_LAYERS = "for layer in self.model.layers:\n    if hasattr(layer, '{}'):\n        layer.{}"
CHANGES = {
    "the rate": "self.model.optimizer.learning_rate «= 0.01|*= 0.5|= 0.1 / (number + 1)»",
    "limits": "self.model.optimizer.«clipnorm = 0.01|weight_decay = 0.1|clipvalue = 0.01|global_clipnorm = 0.01»",
    "the optimiser": "self.model.optimizer.inner.«weight_decay = 0.1|steps = 0|lr = 0.01|epsilon = 0.5|momentum = 0.1»",
    "another step": "self.model.optimizer.step = lambda: None",
    "dropout": OF_LAYERS.format("rate", "rate = «0.75|0|number / 10»"),
    "norms": OF_LAYERS.format("epsilon", "«epsilon = 0.5|momentum = 0.1|training = False»"),
    "own layers": OF_LAYERS.format("scale", "scale = «2.0 + number|-0.0»"),
    "activation": OF_LAYERS.format("activation", "activation = «tg.tanh|'softplus'|None»"),
    "modes": "self.model.layers[0].training = «False|True»",
    "forward": "self.model.layers[0].forward = lambda z: z * 1",
    "weights": "weight = next(self.model.parameters())\nweight.«data = weight.data * 0.5|grad = None|numpy()[0] = 0»",
    "a frozen weight": "next(self.model.parameters()).requires_grad = False",
    "all weights": "self.model.set_weights([a * «0.5|1.0» for a in self.model.get_weights()])",
    "trainable": "self.model.«trainable = number % 2 == 0|layers[0].trainable = False»",
    "another parameter": OF_LAYERS.format("units", "bias = tg.nn.Parameter(np.ones(layer.units, 'float32'))"),
    "mode of all": "self.model.«eval()|train()»",
    "the end": "self.model.stop_training = number == 1",
    "another loss": "self.model.loss = keras.losses.get('«mae|mse»') if y.dtype.kind == 'f' else self.model.loss",
    "Ctrl-C": "if number == 1:\n    raise KeyboardInterrupt",
    "an error": "if number == 1:\n    raise ValueError('one')",
    "its own state": "self.seen = getattr(self, 'seen', 0) + 1",
    "the seed": "tg.nn.init.seed(number)",
    "evaluate": "self.model.«evaluate(x, y, verbose=0)|predict(x, verbose=0)»",
    "train": "self.model.train_on_batch(x[:3], y[:3])",
    "the model's own state": "self.model.«scale = 0.5|table = {'rate': 3.0}|calls = 0»",
    "an item of it": "getattr(self.model, 'table', {})['rate'] = float(number)",
    "a layer": "self.model.layers[0] = «keras.layers.Activation('tanh')|self.model.layers[0]»",
    "a hook": "next(self.model.parameters()).register_hook(lambda g: g * 0.5)",
}
CALLBACKS = (
    "", "keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)",
    "keras.callbacks.EarlyStopping(monitor='loss', patience=0, restore_best_weights=True)",
    "keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: model.layers[-1].zero_grad())",
)  # fmt: skip

BETWEEN = {
    "compiled again": "model.compile(«'sgd'|keras.optimizers.Adam(0.01)», model.loss, run_eagerly=eagerly)",
    "frozen": "model.layers[0].trainable = False",
    "the rate": "model.optimizer.learning_rate = 0.01",
    "weights": "model.set_weights([a * 0.5 for a in model.get_weights()])",
    "data": "x = «x[:, ::-1]|x.astype('float64')»",
}

OPTIONS = (
    "epochs=«1|2»", "batch_size=«4|5|12»", "shuffle=«False|True»",
    "«class_weight=None|sample_weight=np.linspace(0, 1, 12)|validation_split=0.25|validation_data=(x, y)»",
)  # fmt: skip


class Fit:
    """A drawn program; printed, it is a script to paste."""

    def __init__(self, source):
        self.source = source

    def __repr__(self):
        return f"\n{HEAD}{self.source}{FOOT}"


@st.composite
def fits(draw, without=frozenset()):
    """A program that builds, compiles and fits a model, twice."""

    def choose(options):
        return draw(st.sampled_from(options))

    def drawn(text):
        return chosen(choose, text)

    def some(table, least, most):
        names = [name for name in table if name not in without]
        return draw(st.lists(st.sampled_from(names), min_size=least, max_size=most))

    task = part(choose, TASKS[some(TASKS, 1, 1)[0]], 0)
    layers = some(LAYERS, 0, 3)
    setup = ["x = np.random.default_rng(0).standard_normal((12, 4)).astype('float32')", task.setup]
    if "own" in layers:
        setup.append(f"\n\n{drawn(OWN)}\n\n")
    callbacks = []
    for number, change in enumerate(some(CHANGES, 0, 2)):
        text = indent(drawn(CHANGES[change]), "    " * 2)
        head = (
            f"\n\nclass Change{number}(keras.callbacks.Callback):\n    def {drawn(EVENTS)}(self, number, logs=None):\n"
        )
        setup.append(head + text + "\n\n")
        callbacks.append(f"Change{number}()")
    callbacks.append(choose(CALLBACKS))
    chain = ", ".join([*(drawn(LAYERS[name]) for name in layers), task.step])
    model = choose(["model = keras.Sequential([keras.Input((4,)), INSIDE])", MODEL])
    metrics = choose(["", "'accuracy'", "lambda y_true, y_pred: y_pred.sum()"])
    setup += [
        drawn(model).replace("INSIDE", chain),
        f"model.compile({drawn(OPTIMIZERS)}, {task.call}, [{metrics}], run_eagerly=eagerly)",
        f"callbacks = [{', '.join(filter(None, callbacks))}]",
    ]
    between = "".join(f"    if k == 1:\n{indent(drawn(BETWEEN[name]), '        ')}\n" for name in some(BETWEEN, 0, 1))
    options = ", ".join([*map(drawn, OPTIONS), "verbose=0"])
    text = "\n".join(setup)
    return Fit(f"""\
{text}


def call(k):
    global x
{between}    return model.fit(x, y, callbacks=callbacks, {options}).history


def state():
    return dict({", ".join(f"{name}={name}" for name in assigned(text))})
""")
