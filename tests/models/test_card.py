import dataclasses
import json

import pytest

from models.card import METADATA_KEY, Metrics, ModelCard, ModelCardError

CARD = ModelCard(
    name="mnist",
    version="3",
    class_names=("0", "1"),
    preparation="digit",
    test=Metrics(accuracy=0.98, nll=0.05, ece=0.004, num_images=10_000),
    temperature=1.2,
    seed=0,
    parameters=10,
    multiply_adds=20,
    date="2026-11-22T00:00:00+00:00",
    git_commit="abc",
    recipe={"epochs": 3},
)


def test_card_survives_the_metadata_of_a_file():
    assert ModelCard.from_metadata(CARD.to_metadata()) == CARD


def test_error_for_a_file_without_a_card_names_the_key():
    with pytest.raises(ModelCardError, match="model_card"):
        ModelCard.from_metadata({})


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"class_names": []}'])
def test_unreadable_card_is_a_model_card_error(text):
    with pytest.raises(ModelCardError):
        ModelCard.from_metadata({METADATA_KEY: text})


def test_unknown_field_is_an_error():
    fields = json.loads(CARD.to_metadata()[METADATA_KEY]) | {"mean": 0.5}
    with pytest.raises(ModelCardError, match="mean"):
        ModelCard.from_metadata({METADATA_KEY: json.dumps(fields)})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", "v1"),
        ("preparation", "resize"),
        ("precision", "int4"),
        ("class_names", ("a", "a")),
        ("class_names", ()),
    ],
)
def test_error_names_the_field_with_the_invalid_value(field, value):
    with pytest.raises(ModelCardError, match=field):
        dataclasses.replace(CARD, **{field: value})
