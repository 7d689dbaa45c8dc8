"""Data sets: one uint8 tensor per split, on the training device."""

import hashlib
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision import datasets

from training.errors import TrainingError
from training.plurals import describe_count

MNIST_FOLDER, CIFAR10_FOLDER = Path("MNIST", "raw"), Path("cifar-10-batches-py")  # under --data-dir
VAL_FRACTION = 0.05  # of the training images
READ_ERRORS = (  # raised by torchvision for missing files, failed downloads and corrupt files
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    AssertionError,
    pickle.UnpicklingError,
)
SPLIT_SEED = 0  # fixed, so that runs with different seeds share their validation images


class DataError(TrainingError):
    """The data set is missing and cannot be downloaded, or is unreadable."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images, uint8 (N, H, W) or (N, H, W, 3), and labels, int64 (N,)."""

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
    """Three disjoint splits, and the MD5 of every file they were read from."""

    train: Split
    val: Split
    test: Split
    md5s: Mapping[str, str]

    def to(self, device: torch.device) -> "DataSet":
        """Move every split."""
        splits = {name: getattr(self, name).to(device) for name in ("train", "val", "test")}
        return replace(self, **splits)

    def pixel_statistics(self) -> tuple[list[float], list[float]]:
        """Return mean and standard deviation of the training pixels, 0..255, per channel."""
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
    """CIFAR-10 without torchvision's MD5 check of its files, so that samples load too.

    The card records the MD5s.
    """

    train_list, test_list = (
        [(name, None) for name, _ in files] for files in (datasets.CIFAR10.train_list, datasets.CIFAR10.test_list)
    )
    meta = datasets.CIFAR10.meta | {"md5": None}


def load_mnist(data_dir: Path, *, download: bool = True) -> DataSet:
    """Load ``data_dir/MNIST/raw``, downloading it if it is missing.

    Raises:
        DataError: the files can be neither read nor downloaded.
    """
    return _load(datasets.MNIST, data_dir, data_dir / MNIST_FOLDER, "*-ubyte", download=download)


def load_cifar10(data_dir: Path, *, download: bool = True) -> DataSet:
    """Load ``data_dir/cifar-10-batches-py``, downloading it if it is missing.

    Raises:
        DataError: the files can be neither read nor downloaded.
    """
    return _load(_Cifar10, data_dir, data_dir / CIFAR10_FOLDER, "*_batch*", download=download)


def split_train_val(labelled: Split) -> tuple[Split, Split]:
    """Split off 5 % of the training images for validation, always the same ones."""
    order = torch.randperm(len(labelled), generator=torch.Generator().manual_seed(SPLIT_SEED))
    num_val = max(1, int(len(labelled) * VAL_FRACTION))
    return labelled[order[num_val:]], labelled[order[:num_val]]


def _load(
    dataset: Callable[..., datasets.VisionDataset], data_dir: Path, folder: Path, pattern: str, *, download: bool
) -> DataSet:
    try:
        labelled, test = (_to_split(dataset(data_dir, train=train, download=download)) for train in (True, False))
    except READ_ERRORS as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"cannot read {folder}: {cause}; set --data-dir to the folder of the data sets, "
            "or delete corrupt files to download them again"
        ) from error
    train, val = split_train_val(labelled)
    md5s = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in sorted(folder.glob(pattern))}  # noqa: S324  # identifies files, not for security
    return DataSet(train=train, val=val, test=test, md5s=md5s)


def _to_split(dataset: datasets.VisionDataset) -> Split:
    images = torch.as_tensor(dataset.data).contiguous()  # torchvision's CIFAR-10 is a view, which is slower
    labels = torch.as_tensor(dataset.targets, dtype=torch.int64)
    if len(images) != len(labels):
        raise ValueError(f"{describe_count(len(images), 'image')} and {describe_count(len(labels), 'label')}")
    return Split(images=images, labels=labels)
