"""The model card's sections on images in other framings and unrelated images."""

from collections.abc import Callable, Sequence

from models.contract import FAMILIAR
from training.evaluation.optdigits import OPTDIGITS
from training.evaluation.robustness import KindMeasurement, Robustness
from training.recipes.recipe import Recipe

ROBUSTNESS = """\
## Images in other framings

Test images in framings that training never used (training/evaluation/framed.py): accuracy, and the share that is
familiar (see below).{optdigits}

{framings}

![one picture per framing, the pixels that the model received, and its prediction](pictures.png)

## Unrelated images

`familiarity` is the share of validation images whose in-distribution score is no higher than the image's score. The
score is {score} (training/export/familiarity.py). Below {least} an image counts as
unfamiliar. The table shows how well familiarity separates unrelated images (training/evaluation/outliers.py) from the
test images, as the area under the ROC curve, and the share of unrelated images that still counts as familiar.

{familiarity}

Both tables were measured by the code at commit {commit}.

"""

OPTDIGITS_NOTE = """ The
digits in the last rows are from another data set (UCI optdigits, Alpaydin and Kaynak 1998,
training/evaluation/optdigits.py)."""


def describe_robustness(robustness: Robustness, recipe: Recipe) -> str:
    """Render the sections on images in other framings and on unrelated images."""
    (real, *kinds), graphs = robustness.kinds(), list(robustness.graphs)
    framed = [rows for rows in kinds if rows[0].read is not None]
    others = [rows for rows in kinds if rows[0].auroc is not None]
    return ROBUSTNESS.format(
        optdigits=OPTDIGITS_NOTE if framed[-1][0].pictures in OPTDIGITS else "",
        framings=_table(["accuracy", "familiar"], graphs, framed, lambda row: [row.read, row.familiar]),
        score=_score(recipe),
        least=FAMILIAR,
        familiarity=_table(["AUROC", "familiar"], graphs, [real, *others], lambda row: [row.auroc, row.familiar]),
        commit=robustness.git_commit,
    )


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
    lines = [header, ["---"] * len(header)]
    for rows in kinds:
        shares = [share for row in rows for share in choose(row)]
        lines.append(
            [rows[0].pictures, f"{rows[0].count:,}", *("" if share is None else f"{share:.1%}" for share in shares)]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
