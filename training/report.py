"""What a version tells people: the model card README.md, the curves, and every epoch as JSON."""

import json
from dataclasses import asdict
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from models.card import Metrics, ModelCard
from models.layout import MODEL_FILE
from training.fitting import Epoch, Fit
from training.zoo import TrainableModel

CARD = """\
# {card.name}, version {card.version}

{model.title}. {parameters:,} parameters, {multiply_adds:,.1f} million multiply-adds an image,
one ONNX file of {size:.2f} MB.

- **Made for** {model.made_for}
- **Not for** {model.not_for}

## Results

Measured once, on the ONNX file, in a single pass over all {card.test.num_images:,} test images; one seed, {card.seed}.

| split | images | accuracy | negative log-likelihood | calibration error (15 bins) |
|---|---|---|---|---|
{results}

Logits are divided by the temperature {card.temperature:.3f}, fitted on the validation split (Guo et al. 2017).

![loss, accuracy and learning rate of every epoch](curves.png)

## How it was trained

On {hardware} in {minutes:.1f} minutes: {epochs} epochs, of which epoch {best} had the best validation accuracy and
was kept. Every epoch is in `history.json`. The recipe `{recipe_name}`:

| setting | value |
|---|---|
{recipe}

A twentieth of the training images, always the same, is held out for validation; nothing is chosen on the test split.
Data files, by MD5:

{md5s}

## How to reproduce it

```
{command}
```

at commit {card.git_commit}, with {libraries}.
"""


def write_report(
    folder: Path, model: TrainableModel, card: ModelCard, fit: Fit, *, val: Metrics, hardware: str
) -> None:
    """Add README.md, curves.png and history.json to a version."""
    (folder / "history.json").write_text(json.dumps([asdict(epoch) for epoch in fit.history], indent=1) + "\n")
    draw_curves(folder / "curves.png", fit.history, best=fit.best.epoch)
    size = (folder / MODEL_FILE).stat().st_size / 1e6
    (folder / "README.md").write_text(render_card(model, card, fit, val=val, hardware=hardware, size=size))


def render_card(model: TrainableModel, card: ModelCard, fit: Fit, *, val: Metrics, hardware: str, size: float) -> str:
    """Return the model card for people; ``size`` is the ONNX file's in megabytes."""
    recipe = {name: value for name, value in card.recipe.items() if name != "name"}
    return CARD.format(
        model=model,
        card=card,
        parameters=card.parameters,
        multiply_adds=card.multiply_adds / 1e6,
        size=size,
        results="\n".join(_row(split, metrics) for split, metrics in (("test", card.test), ("val", val))),
        hardware=hardware,
        minutes=fit.seconds / 60,
        epochs=len(fit.history),
        best=fit.best.epoch,
        recipe_name=card.recipe["name"],
        recipe="\n".join(f"| {name} | {_setting(value)} |" for name, value in recipe.items()),
        md5s="\n".join(f"- `{name}` {md5}" for name, md5 in card.dataset.items()),
        command=reproduce(model, card),
        libraries=", ".join(f"{name} {version}" for name, version in card.libraries.items()),
    )


def reproduce(model: TrainableModel, card: ModelCard) -> str:
    """Return the command that trains this model again."""
    name = card.recipe["name"]
    command = f"uv run --group train python -m training retrain {model.name} --seed {card.seed} --recipe {name}"
    epochs = card.recipe["epochs"]
    return command if epochs == model.recipes[name].epochs else f"{command} --epochs {epochs}"


def draw_curves(path: Path, history: list[Epoch], *, best: int) -> None:
    """Draw loss, accuracy and learning rate over epochs as a PNG; a dotted line marks the epoch that was kept."""
    epochs = [epoch.epoch for epoch in history]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    curves = {
        "loss": ("train_loss", "val_loss"),
        "accuracy": ("train_accuracy", "val_accuracy"),
        "learning rate": ("lr",),
    }
    for panel, (title, names) in zip(figure.subplots(1, 3), curves.items(), strict=True):
        for name in names:
            label = "validation" if name.startswith("val") else "training, augmented"
            panel.plot(epochs, [getattr(epoch, name) for epoch in history], marker=".", label=label)
        panel.axvline(best, color="grey", linestyle=":")
        panel.set(title=title, xlabel="epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(names) > 1:
            panel.legend()
    figure.savefig(path, dpi=80, metadata={"Software": None})


def _row(split: str, metrics: Metrics) -> str:
    return f"| {split} | {metrics.num_images:,} | {metrics.accuracy:.2%} | {metrics.nll:.4f} | {metrics.ece:.2%} |"


def _setting(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {setting}" for name, setting in value.items() if setting) or "none"
    return str(value)
