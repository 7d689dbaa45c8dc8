"""What a model card says of pictures unlike the test images: framed as people send them, or of other things."""

from training.ledger import Run
from training.robustness import count_framed

FRAMINGS = """\
## Pictures as people send them

Of {count:,} test images framed in each way (training/framing.py), none of which training saw, this share is read:

| pictures | read |
|---|---|
{rows}

![a picture of each kind, the pixels that the model saw, and its answer](pictures.png)

"""

FAMILIARITY = """\
## What it does not know

An image's `familiarity` is the share of the validation images that look no more like the training images than it does,
by {score} (training/familiarity.py); below 0.05 it counts as unfamiliar. Of the test images {real:.1%} are
familiar. Of pictures of other things (training/outliers.py), the area under the ROC curve that tells them from the test
images, and the share that passes for familiar all the same:

| pictures | AUROC | familiar |
|---|---|---|
{rows}

"""


def describe_framings(run: Run) -> str:
    """Return the section on pictures as people send them; nothing of a run that was not asked."""
    if not run.framings:
        return ""
    rows = "\n".join(f"| {name} | {accuracy:.1%} |" for name, accuracy in run.framings.items())
    return FRAMINGS.format(count=count_framed(run.test.num_images), rows=rows)


def describe_familiarity(run: Run) -> str:
    """Return the section on pictures of other things; nothing of a run that was not asked."""
    if not run.familiarity:
        return ""
    smoothed = run.settings["label_smoothing"] > 0
    score = "how far its features reach towards a class" if smoothed else "the energy of its logits"
    real, kinds = run.familiarity["test images"], {name: one for name, one in run.familiarity.items() if "auroc" in one}
    rows = (f"| {name} | {one['auroc']:.1%} | {one['familiar']:.1%} |" for name, one in kinds.items())
    return FAMILIARITY.format(score=score, real=real["familiar"], rows="\n".join(rows))
