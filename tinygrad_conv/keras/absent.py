"""What Keras has and this front does not: each name is refused with a sentence that says what serves.

A name from the tables can be imported, so that ``from tinygrad_conv.keras.layers import Conv2D, LSTM`` gets as far as
the use of it; ``dir`` and ``*`` do not have it.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, NoReturn

from ..errors import ArgumentError, MissingError

__all__ = ["instead"]

_CALL = "derive from keras.layers.Layer (or keras.Model) and write it in call(self, x): "
_DATA = "change the arrays before fit, or in a generator of batches"

# For each module of the front: the sentence, and the names of Keras' that it answers.
_INSTEAD: dict[str, dict[str, str]] = {
    "keras.layers": {
        _CALL + "tg.repeat(tg.repeat(x, 2, axis=1), 2, axis=2), or Conv2DTranspose": "UpSampling1D UpSampling2D "
        "UpSampling3D",
        "use padding= of the next layer, or "
        + _CALL
        + "tg.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))": "ZeroPadding1D ZeroPadding2D ZeroPadding3D",
        _CALL + "x[:, 1:-1, 1:-1]": "Cropping1D Cropping2D Cropping3D CenterCrop",
        _CALL + "x + y, x * y, tg.maximum(x, y), tg.concat([x, y], axis=-1)": "Add Subtract Multiply Average Maximum "
        "Minimum Concatenate Dot",
        "use Activation(function)": "Lambda",
        "use Dropout(rate, noise_shape=(None, 1, 1, None))": "SpatialDropout1D SpatialDropout2D SpatialDropout3D",
        _CALL + "a loop over x[:, t] with weights of its own": "RNN SimpleRNN LSTM GRU Bidirectional ConvLSTM1D "
        "ConvLSTM2D ConvLSTM3D SimpleRNNCell LSTMCell GRUCell StackedRNNCells TimeDistributed",
        _CALL + "tg.softmax(q @ tg.swapaxes(k, -1, -2)) @ v": "Attention AdditiveAttention MultiHeadAttention "
        "GroupQueryAttention",
        _CALL + "tg.permute_dims, tg.repeat": "Permute RepeatVector",
        _CALL + "x + noise from a numpy.random.Generator": "GaussianNoise GaussianDropout AlphaDropout",
        _DATA: "RandomFlip RandomRotation RandomZoom RandomCrop RandomTranslation RandomContrast RandomBrightness "
        "RandomHeight RandomWidth Resizing Normalization CategoryEncoding Discretization Hashing IntegerLookup "
        "StringLookup TextVectorization RandAugment MixUp CutMix AugMix AutoContrast "
        "RandomColorDegeneration RandomColorJitter RandomElasticTransform RandomErasing RandomGaussianBlur "
        "RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomSaturation "
        "RandomSharpness RandomShear Equalization Solarization HashedCrossing MelSpectrogram STFTSpectrogram Pipeline",
        "use GlobalAveragePooling or GlobalMaxPooling, or a pooling of the size that fits": "AdaptiveAveragePooling1D "
        "AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D "
        "AdaptiveMaxPooling3D",
        "layers of other libraries do not run here": "FlaxLayer JaxLayer TFSMLayer TorchModuleWrapper",
        _CALL + "an nn.Parameter, and tg operations": "PReLU EinsumDense SpectralNormalization UnitNormalization "
        "RMSNormalization SeparableConv1D DepthwiseConv1D Masking ActivityRegularization Wrapper",
        "use Conv2D on an image with one axis of size 1": "LocallyConnected1D",
    },
    "keras.losses": {
        "write a function of (y_true, y_pred) that gives the loss of each example": "BinaryFocalCrossentropy "
        "CategoricalFocalCrossentropy CategoricalHinge SquaredHinge CosineSimilarity Dice Tversky Circle CTC LogCosh "
        "MeanAbsolutePercentageError MeanSquaredLogarithmicError Poisson poisson log_cosh cosine_similarity "
        "categorical_hinge squared_hinge "
        "binary_focal_crossentropy categorical_focal_crossentropy dice tversky circle ctc",
    },
    "keras.metrics": {
        'use its name, as in metrics=["mse"]': "MeanSquaredError MeanAbsoluteError BinaryCrossentropy Hinge "
        "CategoricalCrossentropy SparseCategoricalCrossentropy KLDivergence",
        "derive from keras.metrics.Metric, or give a function of (y_true, y_pred)": "AUC Accuracy CosineSimilarity "
        "F1Score FBetaScore FalseNegatives FalsePositives IoU MeanIoU BinaryIoU OneHotIoU ConcordanceCorrelation "
        "PearsonCorrelation "
        "OneHotMeanIoU Precision Recall PrecisionAtRecall RecallAtPrecision SensitivityAtSpecificity "
        "SpecificityAtSensitivity TrueNegatives TruePositives R2Score RootMeanSquaredError LogCoshError Poisson "
        "MeanAbsolutePercentageError MeanSquaredLogarithmicError CategoricalHinge SquaredHinge Sum MeanMetricWrapper",
    },
    "keras.callbacks": {
        "use CSVLogger, and history.plot()": "TensorBoard RemoteMonitor ProgbarLogger",
        "use ModelCheckpoint and load_weights": "BackupAndRestore SwapEMAWeights",
    },
    "keras.optimizers": {
        "use Adam": "Adadelta Adamax Nadam Ftrl Lion Lamb Adafactor Muon LossScaleOptimizer "
        "ScheduleFreeAdamW MultiOptimizer",
    },
    "keras.optimizers.schedules": {
        "write a function of the step": "PolynomialDecay InverseTimeDecay CosineDecayRestarts",
    },
    "keras.initializers": {
        "give a function of the shape that makes an array": "Identity IdentityInitializer VarianceScaling STFT",
    },
    "keras.models": {
        "make the model by the same code, and use save_weights(path) and load_weights(path)": "load_model save_model "
        "clone_model model_from_json",
    },
    "keras.utils": {
        "use tg.draw(model, x).render('model.svg')": "plot_model model_to_dot",
        "make arrays or batches of them: see tg.data": "image_dataset_from_directory text_dataset_from_directory "
        "timeseries_dataset_from_array split_dataset pad_sequences get_file load_img img_to_array",
        "write x / np.linalg.norm(x, axis=-1, keepdims=True)": "normalize",
    },
    "keras": {
        "use operations of tg, such as tg.exp": "ops backend random",
        "use weight_decay= of the optimizer": "regularizers constraints",
        "use tg.data.mnist()": "datasets",
        "write the model with layers": "applications",
        _DATA: "preprocessing tree",
        "make models by code, and use save_weights and load_weights": "saving export",
        "models compute in float32": "mixed_precision dtype_policies DTypePolicy distribution",
        "derive from keras.Model and define call(self, x)": "Function Operation KerasTensor",
        "use tg.nn.Parameter": "Variable Quantizer",
    },
}  # fmt: skip


def instead(module: str, name: str, own: list[str]) -> Any:
    """What stands for a name of Keras' in one of the front's modules, which has its `own` names.

    Raises MissingError (an AttributeError) for a name that Keras does not have either, with the nearest that is here.
    """
    for sentence, names in _INSTEAD.get(module, {}).items():
        if name in names.split():
            return _stand_in(f"{module}.{name}", sentence)
    near = get_close_matches(name, own, 1)
    raise MissingError(f"{module} has no {name!r}" + (f": use {near[0]}" if near else ""))


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
