"""What Keras has and this front does not: each name is refused with what serves, stock Keras on this engine among it.

A name from the table can be imported, so that ``from tinygrad_conv.keras.layers import Conv2D, LSTM`` gets as far as
the use of it; ``dir`` and ``*`` do not have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar

from ..errors import ArgumentError, MissingError

__all__ = ["STOCK", "instead", "missing", "resolved"]

T = TypeVar("T")

STOCK = (
    "stock Keras runs on this engine, too: pip install 'tinygrad-conv[keras]', and write "
    "import tinygrad_conv.keras_backend before import keras"
)

# For each module of the front: what serves without Keras, and the names of Keras' that are not here.
_NAMES: dict[str, tuple[str, str]] = {
    "keras.layers": (
        "derive from keras.layers.Layer and write it with operations of tg in call(self, x)",
        "ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D "
        "AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention "
        "AugMix AutoContrast Average AveragePooling3D AvgPool3D Bidirectional CategoryEncoding CenterCrop Concatenate "
        "Conv1DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution3D Cropping1D Cropping2D "
        "Cropping3D CutMix DepthwiseConv1D DepthwiseConv2D Discretization Dot ELU EinsumDense Embedding Equalization "
        "FlaxLayer GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling3D GlobalAvgPool3D GlobalMaxPool3D "
        "GlobalMaxPooling3D GroupNormalization GroupQueryAttention HashedCrossing Hashing IntegerLookup JaxLayer LSTM "
        "LSTMCell Lambda LocallyConnected1D LocallyConnected2D Masking MaxPool3D MaxPooling3D Maximum MelSpectrogram "
        "Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization RNN "
        "RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop "
        "RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight RandomHue "
        "RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness "
        "RandomShear RandomTranslation RandomWidth RandomZoom RepeatVector Resizing STFTSpectrogram SeparableConv1D "
        "SeparableConv2D SimpleRNN SimpleRNNCell Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D "
        "SpectralNormalization StackedRNNCells StringLookup Subtract TFSMLayer TextVectorization TimeDistributed "
        "TorchModuleWrapper UnitNormalization UpSampling1D UpSampling2D UpSampling3D Wrapper ZeroPadding1D "
        "ZeroPadding2D ZeroPadding3D",
    ),
    "keras.losses": (
        "write a function of (y_true, y_pred) that gives the loss of each example",
        "BinaryFocalCrossentropy CTC LossFunctionWrapper MAPE MSLE CategoricalFocalCrossentropy CategoricalHinge "
        "Circle CosineSimilarity Dice Hinge "
        "Huber LogCosh MeanAbsolutePercentageError MeanSquaredLogarithmicError Poisson SquaredHinge Tversky "
        "binary_focal_crossentropy categorical_focal_crossentropy categorical_hinge circle cosine_similarity ctc dice "
        "hinge huber log_cosh poisson squared_hinge tversky",
    ),
    "keras.metrics": (
        "derive from keras.metrics.Metric, or give a function of (y_true, y_pred); losses by name, as 'mse'",
        "AUC Accuracy BinaryCrossentropy BinaryIoU CategoricalCrossentropy CategoricalHinge ConcordanceCorrelation "
        "CosineSimilarity F1Score FBetaScore FalseNegatives FalsePositives Hinge IoU KLDivergence LogCoshError "
        "MAPE MSLE MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError "
        "MeanSquaredLogarithmicError OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson Precision PrecisionAtRecall "
        "R2Score Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity SparseCategoricalCrossentropy "
        "SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge Sum TopKCategoricalAccuracy "
        "TrueNegatives TruePositives",
    ),
    "keras.callbacks": (
        "derive from keras.callbacks.Callback; fit returns a history",
        "ProgbarLogger ReduceLROnPlateau RemoteMonitor SwapEMAWeights TensorBoard",
    ),
    "keras.optimizers": (
        "use Adam, or an optimizer of tg.optim in a loop of your own",
        "Adadelta Adafactor Adamax Ftrl Lamb Lion LossScaleOptimizer MultiOptimizer Muon Nadam ScheduleFreeAdamW",
    ),
    "keras.optimizers.schedules": (
        "write a function of the step, or use one of tg.optim",
        "CosineDecay CosineDecayRestarts InverseTimeDecay PiecewiseConstantDecay PolynomialDecay",
    ),
    "keras.activations": (
        "give a function of a tensor, of operations of tg",
        "celu glu hard_shrink hard_silu hard_swish hard_tanh log_sigmoid soft_shrink sparse_plus sparse_sigmoid "
        "sparsemax squareplus tanh_shrink threshold",
    ),
    "keras.initializers": (
        "give a function of the shape that makes an array, or a name such as 'orthogonal'",
        "Identity IdentityInitializer LecunNormal LecunUniform Orthogonal OrthogonalInitializer STFT STFTInitializer "
        "TruncatedNormal VarianceScaling",
    ),
    "keras.models": (
        "make the model by the same code, and use save_weights(path) and load_weights(path)",
        "clone_model load_model model_from_json save_model",
    ),
    "keras.utils": (
        "draw with tg.draw(model, x).render('model.svg'); make batches with tg.data or a generator",
        "get_file image_dataset_from_directory img_to_array load_img model_to_dot normalize pad_sequences plot_model "
        "split_dataset text_dataset_from_directory timeseries_dataset_from_array",
    ),
    "keras": (
        "use operations of tg, tg.nn and tg.data; write models with keras.Sequential, or call(self, x)",
        "DTypePolicy Function KerasTensor Operation Quantizer Variable applications backend constraints datasets "
        "distribution dtype_policies export mixed_precision ops preprocessing random regularizers saving tree",
    ),
}


def instead(module: str, name: str, own: list[str]) -> Any:
    """What stands for a name of Keras' in one of the front's modules, which has its `own` names.

    Raises MissingError (an AttributeError) for a name that Keras does not have either, with the nearest that is here.
    """
    if name in _names(module):
        return _stand_in(f"{module}.{name}", f"{_NAMES[module][0]}; {STOCK}")
    near = get_close_matches(name, own, 1)
    raise MissingError(f"{module} has no {name!r}" + (f": use {near[0]}; or {STOCK}" if near else f"; {STOCK}"))


def missing(message: str) -> ArgumentError:
    """The error for what the front does not have; `message` says what that is, and what serves with NumPy alone."""
    return ArgumentError(f"{message}; or {STOCK}")


def resolved(identifier: Any, base: type[T], known: Mapping[str, Callable[[], T]], fix: str = "{!r}") -> T | None:
    """What `compile` means by an object or class of this base, or by a known name; None if it is none of these.

    Raises ArgumentError for another name, with the nearest.
    """
    if isinstance(identifier, type) and issubclass(identifier, base):
        return identifier()
    if not isinstance(identifier, str):
        return identifier if isinstance(identifier, base) else None
    by_plain = {_plain(name): make for name, make in known.items()}
    if _plain(identifier) in by_plain:
        return by_plain[_plain(identifier)]()
    near = get_close_matches(identifier.lower(), known, 1)
    hint = f"use {fix.format(near[0])}" if near else f"use one of {', '.join(known)}"
    raise missing(f"compile: unknown {base.__name__.lower()} {identifier!r}: {hint}")


def _names(module: str) -> list[str]:
    return _NAMES.get(module, ("", ""))[1].split()


def _plain(name: str) -> str:
    """A class, a function, and what they are called in `compile` are one."""
    return name.replace("_", "").lower()


def _stand_in(name: str, sentence: str) -> Any:
    """A class that refuses to be called, derived from, or looked into."""

    def refuse(*args: Any, **options: Any) -> NoReturn:
        raise ArgumentError(f"{name} is not here: {sentence}")

    class Meta(type):
        def __getattr__(cls, attribute: str) -> NoReturn:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            raise MissingError(f"{name} is not here: {sentence}")

    members = {"__new__": refuse, "__init_subclass__": classmethod(refuse), "__doc__": f"Not here: {sentence}."}
    return Meta(name.rpartition(".")[2], (), members)
