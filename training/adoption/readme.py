"""The model card README.md of an adopted classifier."""

from collections.abc import Sequence

from models.card import ModelCard
from training.adoption.facts import Fact

README = """\
# {card.name}, version {card.version}

Adopted from `{adopted.file}` (SHA-256 `{adopted.sha256}`), a network that this project did not train.
{card.parameters:,} parameters, {num_classes:,} classes, one ONNX file of {size:.2f} MB.

**The accuracy was not measured.** The probabilities are those of the source; they were not calibrated. The model has no
familiarity: it does not say whether an image resembles the images that it was trained with.

| fact | value | origin |
|---|---|---|
{facts}

On random images the largest difference of a probability to the source is {difference:.1e}, at several batch sizes.

Made at commit {card.git_commit}, with {libraries}.
"""


def render_readme(card: ModelCard, facts: Sequence[Fact], *, size: float, difference: float) -> str:
    """Render the model card as Markdown.

    Args:
        card: of the ONNX file.
        facts: about the source.
        size: of the ONNX file, in MB.
        difference: largest difference of a probability to the source, 0..1.
    """
    return README.format(
        card=card,
        adopted=card.adopted,
        num_classes=len(card.class_names),
        size=size,
        facts="\n".join(f"| {fact.name} | {_cell(fact.value)} | {_cell(fact.origin)} |" for fact in facts),
        difference=difference,
        libraries=", ".join(f"{name} {version}" for name, version in card.libraries.items()),
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
