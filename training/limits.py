"""What a model card says of pictures unlike the test images: framed as people send them, or of other things."""

from collections.abc import Callable, Sequence

from models.layout import FAMILIAR
from training.other_hands import OTHER_HANDS
from training.recipes import Recipe
from training.robustness import Answered, Robustness

ROBUSTNESS = """\
## Pictures as people send them

Test images framed in each way (training/framed_digits.py, training/framed_photos.py), none of which training saw: the
share that is read, and the share that is familiar, of which more below.{other_hands}

{framings}

![a picture of each kind, the pixels that the model saw, and its answer](pictures.png)

## What it does not know

An image's `familiarity` is the share of the validation images that look no more like the training images than it does,
by {score} (training/familiarity.py); below {least} it counts as unfamiliar.
Of pictures of other things (training/outliers.py): the area under the ROC curve that tells them from the test images,
and the share that passes for familiar all the same.

{familiarity}

Both tables are of the code at commit {commit}.

"""

OTHER_HANDS_NOTE = """ The
digits in the last rows are not MNIST's (Alpaydin and Kaynak 1998, training/other_hands.py)."""


def describe_robustness(robustness: Robustness, recipe: Recipe) -> str:
    """Return the sections on pictures as people send them, and on pictures of other things."""
    (real, *kinds), graphs = robustness.kinds(), list(robustness.graphs)
    framed = [rows for rows in kinds if rows[0].read is not None]
    others = [rows for rows in kinds if rows[0].auroc is not None]
    return ROBUSTNESS.format(
        other_hands=OTHER_HANDS_NOTE if framed[-1][0].pictures in OTHER_HANDS else "",
        framings=_table(["read", "familiar"], graphs, framed, lambda row: [row.read, row.familiar]),
        score=_score(recipe),
        least=FAMILIAR,
        familiarity=_table(["AUROC", "familiar"], graphs, [real, *others], lambda row: [row.auroc, row.familiar]),
        commit=robustness.git_commit,
    )


def _score(recipe: Recipe) -> str:
    """Say what familiarity is told by."""
    if recipe.is_smoothed:
        return "how far its features reach towards a class"
    if recipe.strength_discount:
        return "how large its logits are, less what the boldness of its strokes adds to them"
    return "how large its logits are"


def _table(
    figures: Sequence[str],
    graphs: Sequence[str],
    kinds: Sequence[Sequence[Answered]],
    choose: Callable[[Answered], Sequence[float | None]],
) -> str:
    """Render the same figures of every graph side by side, a row for each kind of pictures."""
    heads = ["pictures", "n", *(f"{figure}, {graph}" for graph in graphs for figure in figures)]
    lines = [heads, ["---"] * len(heads)]
    for rows in kinds:
        shares = [share for row in rows for share in choose(row)]
        lines.append(
            [rows[0].pictures, f"{rows[0].count:,}", *("" if share is None else f"{share:.1%}" for share in shares)]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
