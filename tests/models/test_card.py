import dataclasses
import json

import pytest

from models.card import METADATA_KEY, AdoptedFile, Metrics, ModelCard, ModelCardError, ResizeParameters

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


ADOPTED = dataclasses.replace(
    CARD,
    preparation="center-crop",
    resize=ResizeParameters(side=256, interpolation="bicubic"),
    adopted=AdoptedFile(file="net.onnx", sha256="00", settings={"output": "logits"}),
    test=None,
    temperature=None,
    seed=None,
    multiply_adds=None,
)


@pytest.mark.parametrize("card", [CARD, ADOPTED])
def test_card_survives_the_metadata_of_a_file(card):
    assert ModelCard.from_metadata(card.to_metadata()) == card


def test_card_of_an_older_file_has_no_new_fields():
    fields = json.loads(CARD.to_metadata()[METADATA_KEY])
    del fields["resize"], fields["adopted"]
    assert ModelCard.from_metadata({METADATA_KEY: json.dumps(fields)}) == CARD


@pytest.mark.parametrize(
    ("preparation", "resize", "message"),
    [
        ("photo", {"interpolation": "box"}, "photo has no parameters"),
        ("squash", None, "squash needs its parameters, side and interpolation"),
        ("squash", {"interpolation": "box", "side": 8}, "squash expects null, got 8"),
        ("center-crop", {"interpolation": "box"}, "center-crop expects the shorter side before the crop, got None"),
        ("center-crop", {"interpolation": "area", "side": 8}, "interpolation: expected nearest or box .* got 'area'"),
        ("center-crop", {"interpolation": "box", "side": 0}, "side: expected a whole number from 1 to 1024, got 0"),
        ("center-crop", {"interpolation": "box", "side": 9999}, "got 9999"),
        ("center-crop", {"interpolation": "box", "side": 8.5}, "got 8.5"),
    ],
)
def test_error_names_the_invalid_parameter_of_the_resize(preparation, resize, message):
    fields = json.loads(CARD.to_metadata()[METADATA_KEY]) | {"preparation": preparation, "resize": resize}
    with pytest.raises(ModelCardError, match=message):
        ModelCard.from_metadata({METADATA_KEY: json.dumps(fields)})


def test_error_for_a_file_without_a_card_names_the_key():
    with pytest.raises(ModelCardError, match="model_card"):
        ModelCard.from_metadata({})


@pytest.mark.parametrize("text", ["not json", "[]", "{}", "null", '{"class_names": []}'])
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
