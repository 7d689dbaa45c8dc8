import json

import pytest

from service.inference.prediction_json import PredictionRenderer
from service.prediction import Prediction

NAMES = ["0", 'a "quoted" %s', "ä\n"]
ROW = [0.25, 0.7, 0.05]


def render(top=None, familiarity=None):
    renderer = PredictionRenderer("mo%del", "1", NAMES)
    return json.loads(renderer.one(renderer.prediction(Prediction(ROW, familiarity), top)))


def test_an_answer_has_every_class_in_class_order_unrounded():
    answer = render()
    assert list(answer) == ["model", "version", "label", "confidence", "probabilities"]
    assert (answer["model"], answer["version"], answer["label"]) == ("mo%del", "1", NAMES[1])
    assert list(answer["probabilities"]) == NAMES
    assert list(answer["probabilities"].values()) == ROW
    assert answer["confidence"] == max(answer["probabilities"].values())


@pytest.mark.parametrize(("familiarity", "familiar"), [(0.0, False), (0.04, False), (0.05, True), (1.0, True)])
def test_an_image_is_familiar_where_one_in_twenty_real_ones_is_less_so(familiarity, familiar):
    answer = render(familiarity=familiarity)
    assert (answer["familiarity"], answer["familiar"]) == (familiarity, familiar)


def test_top_keeps_the_likeliest_first():
    assert list(render(top=2)["probabilities"]) == [NAMES[1], NAMES[0]]


@pytest.mark.parametrize("top", [3, 100])
def test_top_of_all_classes_or_more_is_all(top):
    assert list(render(top)["probabilities"]) == [NAMES[1], NAMES[0], NAMES[2]]


def test_a_batch_is_a_list_in_order():
    renderer = PredictionRenderer("m", "1", ["a", "b"])
    answers = [Prediction([1.0, 0.0]), Prediction([0.0, 1.0])]
    answer = json.loads(renderer.many([renderer.prediction(one) for one in answers]))
    assert [prediction["label"] for prediction in answer["predictions"]] == ["a", "b"]
