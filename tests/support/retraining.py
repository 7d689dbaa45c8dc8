"""Short retraining runs on the committed sample."""

from dataclasses import replace

import torch
from support.paths import DATA

from models.card import ModelCard
from training.export.onnx_file import open_session
from training.pipeline.retraining import Retraining
from training.recipes.zoo import MNIST


def read_card(folder, file="model.onnx"):
    return ModelCard.from_metadata(open_session(folder / file).get_modelmeta().custom_metadata_map)


def ask(tmp_path, *, epochs=4, resume=False, out="models", **settings):
    return Retraining(
        model=MNIST,
        recipe_name="course",
        recipe=replace(MNIST.recipes["course"], epochs=epochs, **settings),
        seed=0,
        device=torch.device("cpu"),
        data_dir=DATA,
        out=tmp_path / out,
        checkpoint_dir=tmp_path / "checkpoints",
        resume=resume,
        min_accuracy=0.0,
    )
