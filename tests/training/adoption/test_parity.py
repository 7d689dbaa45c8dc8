"""An adopted classifier behind the service's preparation against its source behind torchvision's transforms."""

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from support.foreign_models import CLASSES, MEAN, SIDE, STD, Foreign, probabilities_of
from support.paths import ROOT
from torchvision.transforms import InterpolationMode, v2

from models.preparation.preparer import preparer
from service.runtime.golden_check import check_golden
from service.runtime.model_store import load_classifier
from service.settings import Settings
from training.__main__ import main
from training.adoption.half import has_half

PICTURES = sorted((ROOT / "tests" / "images").glob("cifar10-*.png"))
NORMAL = ["--scale", "1", "--mean", *map(str, MEAN), "--std", *map(str, STD)]
CROP = ["--preparation", "center-crop", "--side", "36", "--interpolation", "bicubic"]


def adopt(path, folder, *options):
    labels = folder / "labels.txt"
    labels.write_text("\n".join(CLASSES) + "\n")
    return main(["adopt", str(path), "--name", "net", "--labels", str(labels), "--out", str(folder), *options])


def served_probabilities(folder, pictures):
    """Return the probabilities of pictures as the service computes them, in batches of several sizes."""
    classifier = load_classifier(folder / "net" / "1" / "model.onnx", Settings(device="cpu"), threads=1)
    check_golden(classifier)
    assert not has_half(onnx.load(classifier.path))  # a GPU would compute other probabilities than a CPU
    prepare = preparer(classifier.card.preparation, classifier.image_shape, classifier.card.resize)
    images = np.stack([prepare(picture) for picture in pictures])
    return np.concatenate(
        [classifier.predict(images[:1]), classifier.predict(images[1:4]), classifier.predict(images[4:])]
    )


def transforms(dtype, channels):
    steps = [
        v2.Resize(36, interpolation=InterpolationMode.BICUBIC, antialias=True),
        v2.CenterCrop(SIDE),
        v2.PILToTensor(),
    ]
    if dtype != "uint8":
        steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN[:channels], STD[:channels])]
    return v2.Compose([*steps, *([v2.ToDtype(torch.float16)] if dtype == "float16" else [])])


@pytest.mark.parametrize(
    "foreign",
    [
        Foreign(),
        Foreign(layout="nhwc", dtype="uint8", probabilities=True),
        Foreign(layout="nhwc"),
        Foreign(dtype="uint8"),
        Foreign(batch=1),
        Foreign(batch=1, reshape=(1, -1)),
        Foreign(batch=1, reshape=(1, 128)),
        Foreign(batch=1, fixed_expand=True),
        Foreign(batch=4, reshape=(4, 128)),
        Foreign(dtype="float16"),
        Foreign(dtype="float16", batch=1, fixed_expand=True, probabilities=True),
        Foreign(channels=1),
        Foreign(layout="nhwc", channels=1, batch=1),
    ],
    ids=str,
)
def test_adopted_file_gives_the_probabilities_of_its_source(foreign, tmp_path):
    path = foreign.save(tmp_path / "foreign.onnx")
    normal = [] if foreign.dtype == "uint8" else NORMAL
    if foreign.channels == 1 and normal:
        normal = ["--scale", "1", "--mean", str(MEAN[0]), "--std", str(STD[0])]
    assert adopt(path, tmp_path, *CROP, *normal) == 0
    graph = onnx.load(tmp_path / "net" / "1" / "model.onnx").graph
    assert ("Scan" in {node.op_type for node in graph.node}) == foreign.fixed_expand  # other graphs run whole batches
    if foreign.reshape:  # whose constant shape is replaced
        assert {tensor.name for tensor in graph.initializer} <= {name for node in graph.node for name in node.input}
    mode = "RGB" if foreign.channels == 3 else "L"
    pictures = [Image.open(picture).convert(mode) for picture in PICTURES]
    tensors = [transforms(foreign.dtype, foreign.channels)(picture).numpy() for picture in pictures]
    if isinstance(foreign.batch, int) and foreign.batch > 1:
        path = Foreign(**(vars(foreign) | {"batch": "n", "reshape": None})).save(tmp_path / "any-batch.onnx")
    expected = probabilities_of(path, tensors)
    assert np.ptp(expected, axis=0).max() > 0.05  # the pictures differ
    tolerance = 5e-4 if foreign.dtype == "float16" else 1e-4  # the source rounds its logits to half precision
    np.testing.assert_allclose(served_probabilities(tmp_path, pictures), expected, atol=tolerance, rtol=0)
