import json

import numpy as np
import pytest

from service.rendering import PredictionRenderer

NAMES = ["0", 'a "quoted" %s', "ä\n"]
ROW = np.array([0.25, 0.7, 0.05], np.float32)


def render(top=None):
    renderer = PredictionRenderer("mo%del", "1", NAMES)
    return json.loads(renderer.one(renderer.prediction(ROW, top)))


def test_an_answer_has_every_class_in_class_order_unrounded():
    answer = render()
    assert list(answer) == ["model", "version", "label", "confidence", "probabilities"]
    assert (answer["model"], answer["version"], answer["label"]) == ("mo%del", "1", NAMES[1])
    assert list(answer["probabilities"]) == NAMES
    assert [np.float32(p) for p in answer["probabilities"].values()] == list(ROW)
    assert answer["confidence"] == max(answer["probabilities"].values())


def test_top_keeps_the_likeliest_first():
    assert list(render(top=2)["probabilities"]) == [NAMES[1], NAMES[0]]


@pytest.mark.parametrize("top", [3, 100])
def test_top_of_all_classes_or_more_is_all(top):
    assert list(render(top)["probabilities"]) == [NAMES[1], NAMES[0], NAMES[2]]


def test_a_batch_is_a_list_in_order():
    renderer = PredictionRenderer("m", "1", ["a", "b"])
    rows = [np.array([1, 0], np.float32), np.array([0, 1], np.float32)]
    answer = json.loads(renderer.many([renderer.prediction(row) for row in rows]))
    assert [prediction["label"] for prediction in answer["predictions"]] == ["a", "b"]
