"""An LSTM foresees a series one step ahead, better than "as it is now"."""

import tinygrad_conv.keras_backend

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(0)
t = np.arange(3000)
rng = np.random.default_rng(0)
series = np.sin(t / 5) + 0.5 * np.sin(t / 11 + 1) + 0.05 * rng.standard_normal(t.size)
series = series.astype("float32")[:, None]
PAST, SPLIT = 24, 2400


class Windows(keras.utils.PyDataset):
    """The past of each step, and the step."""

    def __init__(self, part, batch=64):
        super().__init__()
        self.part, self.batch = part, batch
        self.order = rng.permutation(len(part) - PAST)

    def __len__(self):
        return len(self.order) // self.batch

    def __getitem__(self, k):
        starts = self.order[k * self.batch : (k + 1) * self.batch]
        return np.stack([self.part[s : s + PAST] for s in starts]), self.part[starts + PAST]


model = keras.Sequential(
    [
        keras.Input((PAST, 1)),
        layers.LSTM(24, return_sequences=True),
        layers.LSTM(24),
        layers.Dense(1),
    ]
)
model.compile(keras.optimizers.Adam(1e-2), "mse")
calm = keras.callbacks.ReduceLROnPlateau(patience=2)
stop = keras.callbacks.EarlyStopping(patience=4, restore_best_weights=True)
test = Windows(series[SPLIT:])
model.fit(Windows(series[:SPLIT]), validation_data=test, epochs=10, callbacks=[calm, stop], verbose=2)

error = model.evaluate(test, verbose=0)
as_now = np.mean((series[SPLIT + PAST :] - series[SPLIT + PAST - 1 : -1]) ** 2)
print(f"mean squared error {error:.4f}; of 'as it is now' {as_now:.4f}")
assert error < 0.3 * as_now
