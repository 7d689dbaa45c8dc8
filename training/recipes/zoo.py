"""Trainable models: name, data, network and recipes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from models.card import Preparation
from training.data.datasets import DataSet, load_cifar10, load_mnist
from training.networks.architectures import cifar10_cnn, mnist_cnn, mnist_mlp, mnist_resnet
from training.recipes.recipe import CIFAR10_RECIPES, MNIST_CNN_RECIPES, MNIST_RECIPES, MNIST_RESNET_RECIPES, Recipe

DEFAULT_RECIPE = "published"


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Source and licence of a public data set, for the model card."""

    title: str
    hub_id: str  # on the Hugging Face Hub
    url: str
    citation: str
    license: str


@dataclass(frozen=True, kw_only=True)
class TrainableModel:
    """Settings of a model for `retrain`."""

    name: str
    title: str
    intended_use: str  # on the model card
    out_of_scope: str  # on the model card
    class_names: tuple[str, ...]
    preparation: Preparation
    load: Callable[[Path], DataSet]
    build: Callable[[Sequence[float], Sequence[float], Recipe], nn.Sequential]  # from pixel mean and std
    recipes: Mapping[str, Recipe]
    int8: bool  # also export an int8 graph for the CPU
    float16: bool = False  # also export a float16 graph for a GPU; worthwhile for large networks
    min_accuracy: Mapping[str, float]  # by recipe: required accuracy of the ONNX file on the test split, 0..1
    max_accuracy_loss: float = 0.002  # of an int8 or float16 graph on the test split, against float32; 0..1
    data_source: DataSource | None = None  # None if the data set is not public


def _build_mlp(mean: Sequence[float], std: Sequence[float], recipe: Recipe) -> nn.Sequential:
    return mnist_mlp(
        mean,
        std,
        hidden=recipe.widths,
        batch_norm=recipe.batch_norm,
        activation=recipe.activation,
        drop_rate=recipe.drop_rate,
    )


def _build_cnn(mean: Sequence[float], std: Sequence[float], recipe: Recipe) -> nn.Sequential:
    return mnist_cnn(mean, std, drop_rate=recipe.drop_rate)


def _build_resnet(mean: Sequence[float], std: Sequence[float], recipe: Recipe) -> nn.Sequential:
    return mnist_resnet(mean, std, widths=recipe.widths, drop_rate=recipe.drop_rate)


def _build_photo_cnn(mean: Sequence[float], std: Sequence[float], recipe: Recipe) -> nn.Sequential:
    return cifar10_cnn(mean, std, widths=recipe.widths, depth=recipe.depth, batch_norm=recipe.normalized)


MNIST_SOURCE = DataSource(
    title="MNIST",
    hub_id="ylecun/mnist",
    url="http://yann.lecun.com/exdb/mnist/",
    citation="LeCun, Bottou, Bengio and Haffner 1998",
    license="Creative Commons Attribution-Share Alike 3.0",
)
CIFAR10_SOURCE = DataSource(
    title="CIFAR-10",
    hub_id="uoft-cs/cifar10",
    url="https://www.cs.toronto.edu/~kriz/cifar.html",
    citation="Krizhevsky 2009",
    license="none stated by its authors",
)

MNIST = TrainableModel(
    name="mnist",
    title="Handwritten digits (MNIST)",
    intended_use="images of one handwritten digit, dark on light or light on dark.",
    out_of_scope=(
        "numbers of several digits, letters, printed digits, or images without a digit: the model always predicts one "
        "of ten digits. The writers were American census employees and high-school students of about 1990."
    ),
    class_names=tuple("0123456789"),
    preparation="digit",
    load=load_mnist,
    build=_build_mlp,
    recipes=MNIST_RECIPES,
    int8=True,
    min_accuracy={"published": 0.994, "course": 0.979},
    data_source=MNIST_SOURCE,
)

MNIST_CNN = replace(
    MNIST,
    name="mnist-cnn",
    title="Handwritten digits (MNIST), by the course's SimpleCNN",
    build=_build_cnn,
    recipes=MNIST_CNN_RECIPES,
    int8=False,  # hardly faster, as its convolutions are few and narrow
    min_accuracy={"published": 0.995},
)

MNIST_RESNET = replace(
    MNIST,
    name="mnist-resnet",
    title="Handwritten digits (MNIST), by a residual network, the teacher of the other two",
    build=_build_resnet,
    recipes=MNIST_RESNET_RECIPES,
    min_accuracy={"published": 0.995},
)

CIFAR10 = TrainableModel(
    name="cifar10",
    title="Small photographs of ten kinds of objects (CIFAR-10)",
    intended_use="photographs that show one of the ten classes. The model receives 32 x 32 pixels.",
    out_of_scope=(
        "anything outside the ten classes (there is no class for other objects), several objects in one image, or "
        "decisions about people. Expect a lower accuracy on photographs that differ from web images of the 2000s."
    ),
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    preparation="photo",
    load=load_cifar10,
    build=_build_photo_cnn,
    recipes=CIFAR10_RECIPES,
    int8=True,
    float16=True,
    min_accuracy={"published": 0.945, "course": 0.80},
    data_source=CIFAR10_SOURCE,
)

ZOO: Mapping[str, TrainableModel] = {model.name: model for model in (MNIST, MNIST_CNN, MNIST_RESNET, CIFAR10)}
