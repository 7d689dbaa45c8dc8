"""The data sets: one uint8 tensor a split, on the device that trains."""

import hashlib
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision import datasets

from training.errors import TrainingError

MNIST_FOLDER, CIFAR10_FOLDER = Path("MNIST", "raw"), Path("cifar-10-batches-py")  # under --data-dir
VAL_FRACTION = 0.05  # of the training images
UNREADABLE = (  # what torchvision raises: nothing there and no download, or a file that is not what it should be
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    AssertionError,
    pickle.UnpicklingError,
)
SPLIT_SEED = 0  # the same for every run: seeds of runs differ, their validation images do not


class DataError(TrainingError):
    """The data set is neither in its folder nor to be had, or cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images and their labels: uint8 (N, H, W) or (N, H, W, 3), and int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor | slice) -> "Split":
        return Split(images=self.images[rows], labels=self.labels[rows])

    def to(self, device: torch.device) -> "Split":
        """Move both tensors."""
        return Split(images=self.images.to(device), labels=self.labels.to(device))


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Three splits that share no image, and the MD5 of every file they were read from."""

    train: Split
    val: Split
    test: Split
    md5s: Mapping[str, str]

    def to(self, device: torch.device) -> "DataSet":
        """Move every split."""
        splits = {name: getattr(self, name).to(device) for name in ("train", "val", "test")}
        return replace(self, **splits)

    def pixel_statistics(self) -> tuple[list[float], list[float]]:
        """Return mean and standard deviation of the training pixels, 0..255: one of each a channel, one if grey."""
        channels = 1 if self.train.images.ndim == 3 else self.train.images.shape[-1]
        counts = [
            torch.bincount(self.train.images.reshape(-1, channels)[:, channel].flatten(), minlength=256).double()
            for channel in range(channels)
        ]
        levels = torch.arange(256, dtype=torch.double, device=self.train.images.device)
        means = [float((count * levels).sum() / count.sum()) for count in counts]
        squares = [float((count * levels**2).sum() / count.sum()) for count in counts]
        return means, [max(square - mean**2, 1e-6) ** 0.5 for mean, square in zip(means, squares, strict=True)]


class _Cifar10(datasets.CIFAR10):  # type: ignore[misc]  # torchvision is untyped
    """CIFAR-10 from whatever files are there: a sample is as good, and the card records the MD5s."""

    def _check_integrity(self) -> bool:
        folder = Path(self.root, self.base_folder)
        return all((folder / name).is_file() for name, _ in self.train_list + self.test_list)

    def _load_meta(self) -> None:
        """Leave the names of the classes to training/recipes/zoo.py."""


def load_mnist(data_dir: Path, *, download: bool = True) -> DataSet:
    """Read ``data_dir/MNIST/raw``, downloading it first where it is missing.

    Raises:
        DataError: neither is possible.
    """
    return _load(datasets.MNIST, data_dir, data_dir / MNIST_FOLDER, "*-ubyte", download=download)


def load_cifar10(data_dir: Path, *, download: bool = True) -> DataSet:
    """Read ``data_dir/cifar-10-batches-py``, downloading it first where it is missing.

    Raises:
        DataError: neither is possible.
    """
    return _load(_Cifar10, data_dir, data_dir / CIFAR10_FOLDER, "*_batch*", download=download)


def split_train_val(labelled: Split) -> tuple[Split, Split]:
    """Draw the validation images, a twentieth, out of the training images; always the same ones."""
    order = torch.randperm(len(labelled), generator=torch.Generator().manual_seed(SPLIT_SEED))
    num_val = max(1, int(len(labelled) * VAL_FRACTION))
    return labelled[order[num_val:]], labelled[order[:num_val]]


def _load(
    dataset: Callable[..., datasets.VisionDataset], data_dir: Path, folder: Path, pattern: str, *, download: bool
) -> DataSet:
    try:
        labelled, test = (_read(dataset(data_dir, train=train, download=download)) for train in (True, False))
    except UNREADABLE as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"cannot read {folder}: {cause}; name the folder of the data sets with --data-dir, "
            "or remove spoiled files to download them anew"
        ) from error
    train, val = split_train_val(labelled)
    md5s = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in sorted(folder.glob(pattern))}  # noqa: S324  # names files, guards nothing
    return DataSet(train=train, val=val, test=test, md5s=md5s)


def _read(dataset: datasets.VisionDataset) -> Split:
    images = torch.as_tensor(dataset.data).contiguous()  # torchvision's CIFAR-10 is a view, channels first: slower
    labels = torch.as_tensor(dataset.targets, dtype=torch.int64)
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images and {len(labels)} labels")
    return Split(images=images, labels=labels)
