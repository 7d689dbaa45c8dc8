"""The model card as people read it, rendered from the ONNX file's own card and the ledger of runs."""

import statistics
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.card import Metrics, ModelCard
from models.layout import INT8_MODEL_FILE, MODEL_FILE
from training.ledger import Run
from training.zoo import TrainableModel

HISTORY_FILE = "history.json"

CARD = """\
# {card.name}, version {card.version}

{model.title}. {card.parameters:,} parameters, {multiply_adds:,.1f} million multiply-adds an image, one ONNX file of
{size:.2f} MB.

- **Made for** {model.made_for}
- **Not for** {model.not_for}

## Results

Of this version, seed {card.seed}: measured once, on the ONNX file, in a single pass over all
{card.test.num_images:,} test images.

| graph | split | images | accuracy | negative log-likelihood | calibration error (15 bins) |
|---|---|---|---|---|---|
{results}

Logits are divided by the temperature {card.temperature:.3f}, fitted on the validation split (Guo et al. 2017).

{spread}

{speed}

![accuracy by confidence](reliability.png)

| class | images | recall | precision |
|---|---|---|---|
{classes}

![which class was taken for which](confusion.png)

The wrong answers that were surest of themselves:

![the test images with their answers](mistakes.png)

## How it was trained

On {run.hardware} in {run.minutes:.1f} minutes: {run.epochs} epochs, of which epoch {run.best_epoch} had the best
validation accuracy and was kept. Every epoch is in `{history}`.

![loss, accuracy and learning rate of every epoch](curves.png)

{ablations}The recipe `{run.recipe}`:

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

ABLATIONS = """\
What each part is worth: seed {seed}, {epochs} epochs each instead of {all_epochs}, validation and test accuracy.

| recipe | validation | test | minutes |
|---|---|---|---|
{rows}

"""


def render_card(
    model: TrainableModel, card: ModelCard, run: Run, runs: Sequence[Run], *, counts: NDArray[np.int64], size: float
) -> str:
    """Return the model card for people.

    Args:
        model: that it is a version of.
        card: of the ONNX file.
        run: that made it.
        runs: the ledger.
        counts: confusion matrix of the test split.
        size: of the ONNX file in megabytes.
    """
    settings = {name: value for name, value in card.recipe.items() if name != "name"}
    graphs = [("float32", "test", run.test), ("int8", "test", run.int8), ("float32", "validation", run.val)]
    return CARD.format(
        model=model,
        card=card,
        run=run,
        multiply_adds=card.multiply_adds / 1e6,
        size=size,
        results=_lines(_result(graph, split, metrics) for graph, split, metrics in graphs if metrics),
        spread=describe_spread(run, runs),
        speed=_speed(run),
        classes=_lines(_class(name, counts, index) for index, name in enumerate(card.class_names)),
        history=HISTORY_FILE,
        ablations=_ablations(run, runs),
        recipe=_lines(f"| {name} | {_setting(value)} |" for name, value in settings.items()),
        md5s=_lines(f"- `{name}` {md5}" for name, md5 in card.dataset.items()),
        command=reproduce(model, run),
        libraries=", ".join(f"{name} {version}" for name, version in card.libraries.items()),
    )


def describe_spread(run: Run, runs: Sequence[Run]) -> str:
    """Say what the same recipe gave with every seed that was tried, by the ledger."""
    seeds = sorted({other.seed for other in _repeats(run, runs)})
    if len(seeds) == 1:
        return "One seed was tried."
    return (
        f"The recipe with the seeds {', '.join(map(str, seeds))}, mean and standard deviation: accuracy "
        f"{describe_repeats(run, runs, lambda one: one.test.accuracy)}, calibration error "
        f"{describe_repeats(run, runs, lambda one: one.test.ece)}."
    )


def describe_repeats(run: Run, runs: Sequence[Run], figure: Callable[[Run], float]) -> str:
    """Return mean, standard deviation and number of a figure, 0..1, over the seeds of a run's recipe."""
    figures = [figure(one) * 100 for one in _repeats(run, runs)]
    if len(figures) == 1:
        return "n = 1"
    return f"{statistics.mean(figures):.2f} ± {statistics.stdev(figures):.2f} %, n = {len(figures)}"


def reproduce(model: TrainableModel, run: Run) -> str:
    """Return the command that trains this model again."""
    command = f"uv run --group train python -m training retrain {model.name} --seed {run.seed} --recipe {run.recipe}"
    epochs = run.settings["epochs"]
    return command if epochs == model.recipes[run.recipe].epochs else f"{command} --epochs {epochs}"


def _result(graph: str, split: str, metrics: Metrics) -> str:
    figures = f"{metrics.accuracy:.2%} | {metrics.nll:.4f} | {metrics.ece:.2%}"
    return f"| {graph} | {split} | {metrics.num_images:,} | {figures} |"


def _speed(run: Run) -> str:
    names = {"float32": f"`{MODEL_FILE}`", "int8": f"`{INT8_MODEL_FILE}`"}
    rows = [f"| {names[name]} | {times['1']:.3f} | {times['64']:.3f} |" for name, times in run.ms_per_image.items()]
    return "\n".join(
        ["| ms an image, one core, ONNX Runtime | one at a time | in batches of 64 |", "|---|---|---|", *rows]
    )


def _class(name: str, counts: NDArray[np.int64], index: int) -> str:
    hits, images, answers = counts[index, index], counts[index].sum(), counts[:, index].sum()
    return f"| {name} | {images:,} | {_share(hits, images)} | {_share(hits, answers)} |"


def _ablations(run: Run, runs: Sequence[Run]) -> str:
    rows = {other.ablation: other for other in runs if other.model == run.model and other.ablation}
    if not rows:
        return ""
    one = next(iter(rows.values()))
    table = (
        f"| {name} | {row.val.accuracy:.2%} | {row.test.accuracy:.2%} | {row.minutes:.1f} |"
        for name, row in rows.items()
    )
    return ABLATIONS.format(
        seed=one.seed, epochs=one.settings["epochs"], all_epochs=run.settings["epochs"], rows=_lines(table)
    )


def _repeats(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Return the runs of the same recipe, the last of each seed."""
    same = [other for other in [*runs, run] if other.is_of(run.model, run.settings, ablation=run.ablation)]
    return list({other.seed: other for other in same}.values())


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _setting(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {setting}" for name, setting in value.items() if setting) or "none"
    return str(value)


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)
