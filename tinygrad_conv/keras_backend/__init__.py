"""Stock Keras 3 on this engine: import this before `keras`.

Keras has a backend of NumPy functions, which cannot train. Tensors go through NumPy's functions with their graph, so on
tensors it can. What is here loads Keras' own modules of that backend and gives each three things: tensors where it has
arrays (`arrays`), our kernels where it is slow or asks JAX (`core`, `nn`, `math`), and a `fit` (`trainer`).

>>> import tinygrad_conv.keras_backend  # doctest: +SKIP
>>> import keras  # doctest: +SKIP
>>> keras.backend.backend()  # doctest: +SKIP
'tinygrad_conv'
"""

from .loading import install

__all__: list[str] = []

install()
