"""Data sets from folders of labelled pictures, FOLDER/CLASS/PICTURE."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import ImageFolder
from tqdm import tqdm

from models.preparation.photo import photo
from models.preparation.preparer import draft_side
from training.data.datasets import READ_ERRORS, DataError, DataSet, Split, split_train_val
from training.data.pictures import open_picture

TEST_FRACTION = 0.2
SPLIT_SEED = 1


def load_image_folder(folder: Path, *, class_names: Sequence[str], side: int) -> DataSet:
    """Load pictures of any size, prepared as the service prepares photographs.

    A fixed fifth of them is the test split.

    Args:
        folder: contains one folder per class.
        class_names: names of these folders, in alphabetical order.
        side: width and height of the model's input, in pixels.

    Raises:
        DataError: a class is missing, empty or unexpected, or a picture is unreadable.
    """
    try:
        found = ImageFolder(str(folder), loader=Path)
    except READ_ERRORS as error:
        raise DataError(
            f"cannot read {folder}: {error}; expected a folder for each of {', '.join(class_names)}"
        ) from error
    if tuple(found.classes) != tuple(class_names):
        raise DataError(f"{folder} has the classes {', '.join(found.classes)}, expected {', '.join(class_names)}")
    images, digest = [], hashlib.md5(usedforsecurity=False)
    for name, _ in tqdm(found.samples, desc=folder.name, unit="picture", leave=False):
        path = Path(name)
        try:
            picture = open_picture(path, draft_side=draft_side("photo", (side, side, 3)))
        except READ_ERRORS as error:
            raise DataError(f"cannot read {path}: {error}; repair or remove it") from error
        images.append(photo(picture, (side, side)))
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    labelled = Split(images=torch.from_numpy(np.stack(images)), labels=torch.tensor(found.targets))
    order = torch.randperm(len(labelled), generator=torch.Generator().manual_seed(SPLIT_SEED))
    num_test = max(1, round(len(labelled) * TEST_FRACTION))
    train, val = split_train_val(labelled[order[num_test:]])
    return DataSet(train=train, val=val, test=labelled[order[:num_test]], md5s={folder.name: digest.hexdigest()})
