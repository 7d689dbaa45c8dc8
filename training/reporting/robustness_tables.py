"""The model card's sections on corrupted images, images in other framings, and unrelated images."""

from collections.abc import Callable, Mapping, Sequence

from models.card import Preparation
from models.contract import FAMILIARITY_THRESHOLD
from training.evaluation.robustness.corrupted_images import NOISE, CorruptionReport
from training.evaluation.robustness.measurement import KindMeasurement, Robustness
from training.evaluation.robustness.optdigits import OPTDIGITS_KINDS
from training.evaluation.robustness.surroundings import CONTROL
from training.recipes.recipe import Recipe

ROBUSTNESS = """\
## Images in other framings

Accuracy on test images in framings that training never used (training/evaluation/robustness/framed_images.py), and
the share of them that counts as familiar (see below).{optdigits}

{framings}

![one picture per framing, the pixels that the model received, and its prediction](pictures.png)

## Unrelated images

`familiarity` is the share of validation images whose in-distribution score is no higher than the image's score. The
score is {score} (training/export/familiarity.py).
An image with a familiarity below {threshold} counts as unfamiliar. AUROC is the area under the ROC curve of familiarity
between the test images and unrelated images (training/evaluation/robustness/unrelated_images.py).

{familiarity}

Both tables were measured with the code at commit {commit}.

"""

OPTDIGITS_NOTE = """
The last rows are UCI optdigits (Alpaydin and Kaynak 1998), which have other writers and another scanner
(training/evaluation/robustness/optdigits.py)."""


CORRUPTIONS = """\
## Corrupted images

Calibration holds for pictures like those of the test split. On corrupted ones confidence falls less than accuracy, so
the expected calibration error (ECE) rises. The corruptions are {source},
made from {count:,} test images per severity, and Gaussian noise; sigma is its standard deviation in levels of 0 to 255.
Images are prepared as in the service (training/evaluation/robustness/corrupted_images.py).

{table}

Measured with the code at commit {commit}.

"""
SOURCES: Mapping[Preparation, str] = {
    "digit": "those of MNIST-C (Mu and Gilmer 2019), in the severity of that data set",
    "photo": "those of CIFAR-10-C (Hendrycks and Dietterich 2019), in five severities, with drawn frost",
}


def describe_robustness(robustness: Robustness, recipe: Recipe) -> str:
    """Render the sections on images in other framings and on unrelated images."""
    (test, *kinds), graphs = robustness.kinds(), list(robustness.graphs)
    framed = [rows for rows in kinds if rows[0].accuracy is not None and not rows[0].kind.endswith(CONTROL)]
    unrelated = [rows for rows in kinds if rows[0].auroc is not None]
    return ROBUSTNESS.format(
        optdigits=OPTDIGITS_NOTE if framed[-1][0].kind in OPTDIGITS_KINDS else "",
        framings=_table(["accuracy", "familiar"], graphs, framed, lambda row: [row.accuracy, row.familiar_share]),
        score=_score(recipe),
        threshold=FAMILIARITY_THRESHOLD,
        familiarity=_table(
            ["AUROC", "familiar"], graphs, [test, *unrelated], lambda row: [row.auroc, row.familiar_share]
        ),
        commit=robustness.git_commit,
    )


def describe_corruptions(report: CorruptionReport, preparation: Preparation) -> str:
    """Render the section on corrupted images."""
    clean = next(iter(report.graphs.values()))[0]
    return CORRUPTIONS.format(
        source=SOURCES[preparation],
        count=clean.num_images,
        table=corruption_table(report),
        commit=report.git_commit,
    )


def corruption_table(report: CorruptionReport) -> str:
    """Render error, calibration error and familiar share of all graphs, one row per corruption."""
    kinds = list(zip(*report.graphs.values(), strict=True))
    means = tuple(report.mean(graph) for graph in report.graphs)
    rows = [
        [kind[0].corruption, f"{kind[0].num_images:,}", *(f"{share:.1%}" for row in kind for share in row.shares)]
        for kind in [*kinds[: -len(NOISE)], means, *kinds[-len(NOISE) :]]
    ]
    return f"{corruption_header(list(report.graphs))}\n{_lines(rows)}"


def corruption_header(graphs: Sequence[str]) -> str:
    """Return the two header lines of a table of corruptions."""
    columns = [f"{column}, {graph}" for graph in graphs for column in ("error", "ECE", "familiar")]
    return _lines([["corruption", "n", *columns], ["---"] * (2 + len(columns))])


def _score(recipe: Recipe) -> str:
    """Describe the in-distribution score."""
    if recipe.is_smoothed:
        return "the largest projection of the features on the direction of a class mean"
    if recipe.strength_discount:
        return "the largest logit, less its linear dependence on the strength of the strokes"
    return "the largest logit"


def _table(
    columns: Sequence[str],
    graphs: Sequence[str],
    kinds: Sequence[Sequence[KindMeasurement]],
    choose: Callable[[KindMeasurement], Sequence[float | None]],
) -> str:
    """Render the measurements of all graphs, one row per kind of pictures."""
    header = ["pictures", "n", *(f"{column}, {graph}" for graph in graphs for column in columns)]
    lines: list[Sequence[str]] = [header, ["---"] * len(header)]
    for rows in kinds:
        shares = [share for row in rows for share in choose(row)]
        lines.append(
            [rows[0].kind, f"{rows[0].num_images:,}", *("" if share is None else f"{share:.1%}" for share in shares)]
        )
    return _lines(lines)


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
