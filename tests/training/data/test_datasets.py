"""Data sets: disjoint, reproducible splits and clear errors."""

import hashlib
import shutil
import urllib.request

import numpy as np
import pytest
import torch
from support.paths import DATA
from torchvision.datasets import CIFAR10, MNIST

from training.data.datasets import DataError, Split, load_cifar10, load_mnist, split_train_val


def numbered(count):
    return Split(images=torch.arange(count).reshape(count, 1, 1), labels=torch.arange(count))


def test_train_and_val_are_a_partition():
    train, val = split_train_val(numbered(1000))
    assert sorted(train.labels.tolist() + val.labels.tolist()) == list(range(1000))
    assert (len(train), len(val)) == (950, 50)
    assert torch.equal(val.images.flatten(), val.labels)


def test_val_split_does_not_depend_on_the_seed_of_the_run():
    torch.manual_seed(1)
    first = split_train_val(numbered(1000))[1]
    torch.manual_seed(2)
    assert torch.equal(split_train_val(numbered(1000))[1].labels, first.labels)
    assert not torch.equal(first.labels, torch.arange(50))  # drawn at random


def test_mnist_has_the_uint8_images_of_torchvision():
    data, source = load_mnist(DATA), MNIST(DATA, train=False)
    assert data.train.images.shape == (190, 28, 28)
    assert data.train.images.dtype == torch.uint8
    assert torch.equal(data.test.images, source.data)
    assert torch.equal(data.test.labels, source.targets)


def test_cifar10_is_channels_last_with_the_labels_of_its_files():
    data = load_cifar10(DATA)
    assert data.train.images.shape == (24, 32, 32, 3)
    assert data.train.images.is_contiguous()
    assert data.test.images.dtype == torch.uint8
    assert data.test.labels.tolist() == [3, 8, 8, 0, 6]  # cat, ship, ship, airplane, frog


def test_data_set_has_the_md5_of_every_file():
    md5s = load_cifar10(DATA).md5s
    assert list(md5s) == [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    content = (DATA / CIFAR10.base_folder / "test_batch").read_bytes()
    assert md5s["test_batch"] == hashlib.md5(content).hexdigest()


@pytest.mark.parametrize(("load", "channels"), [(load_mnist, 1), (load_cifar10, 3)])
def test_pixel_statistics_are_of_the_training_split(load, channels):
    data = load(DATA)
    mean, std = data.pixel_statistics()
    pixels = data.train.images.numpy().reshape(-1, channels).astype(np.float64)
    assert mean == pytest.approx(pixels.mean(axis=0))
    assert std == pytest.approx(pixels.std(axis=0))


@pytest.fixture
def unreachable_internet(monkeypatch):
    """Send every download to a port without a server."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    urllib.request.install_opener(None)  # so that a new one is made with this environment
    yield
    urllib.request.install_opener(None)


@pytest.mark.usefixtures("unreachable_internet")
@pytest.mark.parametrize("load", [load_mnist, load_cifar10])
def test_missing_files_are_an_error_when_the_download_fails(load, tmp_path):
    with pytest.raises(DataError, match=r"cannot read .* refused.*; set --data-dir to the folder of the data sets"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("load", "name"),
    [(load_mnist, "MNIST/raw/train-images-idx3-ubyte"), (load_cifar10, "cifar-10-batches-py/data_batch_3")],
)
@pytest.mark.parametrize(
    "corrupt", [lambda content: b"", lambda content: content[:100], lambda content: b"no" + content]
)
def test_corrupt_file_is_a_data_error(load, name, corrupt, tmp_path):
    shutil.copytree(DATA, tmp_path / "data")
    path = tmp_path / "data" / name
    path.write_bytes(corrupt(path.read_bytes()))
    with pytest.raises(DataError, match=r"cannot read .*: .*; set --data-dir .* or delete corrupt files"):
        load(tmp_path / "data")


def test_missing_labels_are_a_data_error(tmp_path):
    shutil.copytree(DATA, tmp_path / "data")
    folder = tmp_path / "data" / "MNIST" / "raw"
    shutil.copy(folder / "t10k-labels-idx1-ubyte", folder / "train-labels-idx1-ubyte")
    with pytest.raises(DataError, match="200 images and 60 labels"):
        load_mnist(tmp_path / "data")
