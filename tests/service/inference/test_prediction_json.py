import json

import pytest

from service.inference.prediction_json import PredictionRenderer
from service.prediction import Prediction

NAMES = ["0", 'a "quoted" %s', "ä\n"]
ROW = [0.25, 0.7, 0.05]


def render(top=None, familiarity=None):
    renderer = PredictionRenderer("mo%del", "1", NAMES)
    return json.loads(renderer.render(renderer.to_dict(Prediction(ROW, familiarity), top)))


def test_response_has_unrounded_probabilities_in_class_order():
    response = render()
    assert list(response) == ["model", "version", "label", "confidence", "probabilities"]
    assert (response["model"], response["version"], response["label"]) == ("mo%del", "1", NAMES[1])
    assert list(response["probabilities"]) == NAMES
    assert list(response["probabilities"].values()) == ROW
    assert response["confidence"] == max(response["probabilities"].values())


@pytest.mark.parametrize(("familiarity", "familiar"), [(0.0, False), (0.04, False), (0.05, True), (1.0, True)])
def test_image_is_familiar_from_the_threshold_0_05(familiarity, familiar):
    response = render(familiarity=familiarity)
    assert (response["familiarity"], response["familiar"]) == (familiarity, familiar)


def test_top_ranks_the_most_probable_classes():
    response = render(top=2)
    assert response["ranking"] == [NAMES[1], NAMES[0]]
    assert list(response["probabilities"]) == NAMES[:2]


@pytest.mark.parametrize("top", [3, 100])
def test_top_of_at_least_all_classes_keeps_all(top):
    response = render(top)
    assert response["ranking"] == [NAMES[1], NAMES[0], NAMES[2]]
    assert list(response["probabilities"]) == NAMES


def test_batch_response_is_a_list_in_order():
    renderer = PredictionRenderer("m", "1", ["a", "b"])
    predictions = [Prediction([1.0, 0.0]), Prediction([0.0, 1.0])]
    response = json.loads(renderer.render_batch([renderer.to_dict(one) for one in predictions]))
    assert [prediction["label"] for prediction in response["predictions"]] == ["a", "b"]
