"""Short retraining runs on the committed sample."""

import json
from dataclasses import replace

import torch
from support.paths import DATA

from models.card import ModelCard
from training.onnx_session import open_session
from training.pipeline.retraining import RetrainingOptions
from training.recipes.zoo import MNIST


def read_card(folder, file="model.onnx"):
    return ModelCard.from_metadata(open_session(folder / file).get_modelmeta().custom_metadata_map)


def read_history(folder):
    """Read the epochs of a version, without their speed."""
    epochs = json.loads((folder / "history.json").read_text())
    return [{name: value for name, value in epoch.items() if name != "images_per_s"} for epoch in epochs]


def output_arguments(tmp_path):
    """Return arguments that keep a run inside ``tmp_path``."""
    return ["--out", str(tmp_path / "models"), "--checkpoint-dir", str(tmp_path / "checkpoints")]


def make_retraining_options(tmp_path, *, model=MNIST, epochs=4, resume=False, out="models", **settings):
    """Return options of a run inside ``tmp_path``, which has its own models and ledger."""
    return RetrainingOptions(
        model=model,
        recipe_name="course",
        recipe=replace(model.recipes["course"], epochs=epochs, **settings),
        seed=0,
        device=torch.device("cpu"),
        data_dir=DATA,
        out=tmp_path / out,
        checkpoint_dir=tmp_path / "checkpoints",
        resume=resume,
        min_accuracy=0.0,
        models_dir=tmp_path / "models",
        ledger=tmp_path / "docs" / "runs.jsonl",
    )


def at_validation(model, action, *, epoch=1):
    """Return the model with a network that calls ``action`` when it is validated after an epoch of this run."""

    def build(mean, std, recipe):
        network, epochs = model.build(mean, std, recipe), []

        def count(network, _images, _logits):
            if network.training:
                return
            epochs.append(len(epochs) + 1)
            if epochs[-1] == epoch:
                hook.remove()
                action()

        hook = network.register_forward_hook(count)
        return network

    return replace(model, build=build)


def interrupt():
    raise KeyboardInterrupt
