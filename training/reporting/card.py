"""The model card README.md, rendered from the ONNX metadata and the ledger."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.card import Metrics, ModelCard
from models.contract import INT8_MODEL_FILE, MODEL_FILE
from training.evaluation.robustness.corrupted_images import CorruptionReport
from training.evaluation.robustness.measurement import Robustness
from training.recipes.recipe import recipe_from_settings
from training.recipes.zoo import DEFAULT_RECIPE, TrainableModel
from training.reporting.comparisons import describe_ablations, describe_spread
from training.reporting.ledger import Run
from training.reporting.recipe_table import describe_recipe
from training.reporting.robustness_tables import describe_corruptions, describe_robustness

HISTORY_FILE = "history.json"

CARD = """\
{header}# {card.name}, version {card.version}

{model.title}. {card.parameters:,} parameters, {multiply_adds:,.1f} million multiply-adds per image, one ONNX file of
{size:.2f} MB.

- **Intended use:** {model.intended_use}
- **Out of scope:** {model.out_of_scope}
{source}
## Results

Seed {card.seed}. The ONNX file was measured once on all {card.test.num_images:,} test images.

| graph | split | images | accuracy | negative log-likelihood | expected calibration error (15 bins) |
|---|---|---|---|---|---|
{results}

{calibration}

{spread}

{speed}

![reliability diagram and histogram of confidences](reliability.png)

| class | images | recall | precision |
|---|---|---|---|
{classes}

![confusion matrix](confusion.png)

The wrong predictions with the highest confidence:

![test images with their predictions](mistakes.png)

{corruptions}{robustness}## Training

{run.epochs} epochs on {run.hardware} in {run.minutes:.1f} minutes; the model is that of {epoch}.
`{history}` has the metrics of every epoch.

![loss, accuracy and learning rate per epoch](curves.png)

{ablations}The main settings of the recipe `{run.recipe}`, and all that differ from their defaults:

| setting | value | source |
|---|---|---|
{recipe}

A fixed set of {run.val.num_images:,} training images is the validation split. The test split was not used for any
choice. MD5 of the data files:

{md5s}

## Reproduction

```
{command}
```

at commit {card.git_commit}, with {libraries}.
{requantized}"""

HEADER = """\
---
license: apache-2.0
library_name: onnx
pipeline_tag: image-classification
datasets:
- {source.hub_id}
metrics:
- accuracy
model-index:
- name: {card.name}
  results:
  - task:
      type: image-classification
    dataset:
      name: {source.title}
      type: {source.hub_id}
      split: test
    metrics:
    - type: accuracy
      value: {card.test.accuracy:.4f}
---

"""  # metadata for the Hugging Face Hub

SOURCE = """\
- **Licence:** Apache-2.0. **Data:** [{source.title}]({source.url}), {source.citation}; licence: {source.license}.
"""

REQUANTIZED = """
The int8 graph was later quantized again with 7-bit weights, which do not saturate on processors without VNNI:

```
uv run --group train python -m training requantize {model}
```

at commit {commit}.
"""


def render_card(
    model: TrainableModel,
    card: ModelCard,
    run: Run,
    runs: Sequence[Run],
    robustness: Robustness | None,
    *,
    corruptions: CorruptionReport | None,
    counts: NDArray[np.int64],
    size: float,
) -> str:
    """Render the model card as Markdown.

    Args:
        model: the definition of the version's model.
        card: of the ONNX file.
        run: the training run of the version.
        runs: the ledger.
        robustness: of the graphs; None omits its sections.
        corruptions: measurements of the graphs; None omits their section.
        counts: confusion matrix of the test split.
        size: of the ONNX file, in MB.
    """
    recipe = recipe_from_settings(card.recipe)
    assert card.multiply_adds is not None
    graphs = [("float32", "test", run.test), ("int8", "test", run.int8), ("float32", "validation", run.val)]
    source = model.data_source
    return CARD.format(
        header=HEADER.format(card=card, source=source) if source else "",
        source=SOURCE.format(source=source) if source else "",
        model=model,
        card=card,
        run=run,
        multiply_adds=card.multiply_adds / 1e6,
        size=size,
        results=_lines(_result(graph, split, metrics) for graph, split, metrics in graphs if metrics),
        calibration=_calibration(card),
        spread=describe_spread(run, runs),
        speed=_speed(run),
        classes=_lines(_class(name, counts, index) for index, name in enumerate(card.class_names)),
        corruptions=describe_corruptions(corruptions, card.preparation) if corruptions else "",
        robustness=describe_robustness(robustness, recipe) if robustness else "",
        epoch="the last epoch" if run.best_epoch == run.epochs else f"epoch {run.best_epoch}, the best on validation",
        history=HISTORY_FILE,
        ablations=describe_ablations(run, runs),
        recipe=describe_recipe(recipe),
        md5s=_lines(f"- `{name}` {md5}" for name, md5 in card.dataset.items()),
        command=reproduce(model, run),
        requantized=REQUANTIZED.format(model=model.name, commit=run.requantized) if run.requantized else "",
        libraries=", ".join(f"{name} {version}" for name, version in card.libraries.items()),
    )


def reproduce(model: TrainableModel, run: Run) -> str:
    """Return the command that repeats a training run."""
    command = f"uv run --group train python -m training retrain {model.name} --seed {run.seed} --recipe {run.recipe}"
    if run.settings["epochs"] != model.recipes[run.recipe].epochs:
        command += f" --epochs {run.settings['epochs']}"
    return command if run.recipe == DEFAULT_RECIPE else f"{command} --out FOLDER"


def _result(graph: str, split: str, metrics: Metrics) -> str:
    cells = f"{metrics.accuracy:.2%} | {metrics.nll:.4f} | {metrics.ece:.2%}"
    return f"| {graph} | {split} | {metrics.num_images:,} | {cells} |"


def _calibration(card: ModelCard) -> str:
    temperature = f"Logits are divided by the temperature {card.temperature:.3f}"
    if not card.floor:
        return f"{temperature}, fitted on the validation split (Guo et al. 2017)."
    return (
        f"{temperature} (Guo et al. 2017). Then {card.floor:.3f}, the probability that label smoothing gave to every\n"
        "class, is subtracted from the softmax. Both were fitted on the validation split."
    )


def _speed(run: Run) -> str:
    if not run.ms_per_image:
        return ""
    names = {"float32": f"`{MODEL_FILE}`", "int8": f"`{INT8_MODEL_FILE}`"}
    rows = [f"| {names[name]} | {times['1']:.3f} | {times['64']:.3f} |" for name, times in run.ms_per_image.items()]
    header_row = f"| ms per image, one core of {run.timed_on}, ONNX Runtime | batch 1 | batch 64 |"
    return _lines([header_row, "|---|---|---|", *rows])


def _class(name: str, counts: NDArray[np.int64], index: int) -> str:
    correct, images, predicted = counts[index, index], counts[index].sum(), counts[:, index].sum()
    return f"| {name} | {images:,} | {_share(correct, images)} | {_share(correct, predicted)} |"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)
