"""Metrics against figures computed by hand, and the temperature that improves them."""

import math

import numpy as np
import pytest
import torch

from training.export.calibration import Calibration, fit_calibration
from training.metrics import (
    auroc,
    confusion_matrix,
    expected_calibration_error,
    measure,
    negative_log_likelihood,
    reliability,
    worst_mistakes,
)

PROBABILITIES = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.5, 0.5]], dtype=np.float32)
LABELS = np.array([0, 1, 1, 1])  # right, wrong, right, wrong


def test_accuracy_is_the_share_of_right_answers():
    assert measure(PROBABILITIES, LABELS).accuracy == 0.5
    assert measure(PROBABILITIES, LABELS).num_images == 4


def test_nll_is_the_mean_of_minus_log_p():
    expected = -(math.log(0.9) + math.log(0.4) + math.log(0.7) + math.log(0.5)) / 4
    assert negative_log_likelihood(PROBABILITIES, LABELS) == pytest.approx(expected, abs=1e-6)


def test_nll_of_a_probability_of_nothing_is_finite():
    assert negative_log_likelihood(np.array([[0.0, 1.0]], dtype=np.float32), np.array([0])) == pytest.approx(
        87.3, abs=0.1
    )


def test_ece_weighs_the_gap_of_each_bin_by_its_images():
    # bins of 1/15: 0.9 and 0.6, 0.7, 0.5 are each alone; gaps 0.1, 0.6, 0.3, 0.5
    assert expected_calibration_error(PROBABILITIES, LABELS) == pytest.approx((0.1 + 0.6 + 0.3 + 0.5) / 4, abs=1e-6)


def test_ece_lets_errors_within_one_bin_cancel():
    probabilities = np.array([[0.75, 0.25]] * 4)
    assert expected_calibration_error(probabilities, np.array([0, 0, 0, 1])) == pytest.approx(0)
    assert expected_calibration_error(probabilities, np.array([0, 0, 0, 0])) == pytest.approx(0.25)


def test_a_confidence_of_one_has_a_bin():
    assert expected_calibration_error(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1])) == pytest.approx(0.5)


def overconfident_logits():
    """Labels drawn from softmax(logits), then the logits made three times as large."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20000, 10, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    return logits * 3, labels


def test_the_temperature_undoes_what_made_the_logits_overconfident():
    assert fit_calibration(*overconfident_logits(), smoothed=False).temperature == pytest.approx(3, rel=0.03)


def test_calibration_lowers_nll_and_ece_and_keeps_accuracy():
    logits, labels = overconfident_logits()
    before = measure(logits.softmax(dim=1).numpy(), labels.numpy())
    after = measure(fit_calibration(logits, labels, smoothed=False)(logits).numpy(), labels.numpy())
    assert after.nll < before.nll - 0.1
    assert after.ece < 0.02 < before.ece
    assert after.accuracy == before.accuracy


def test_the_temperature_stays_bounded_where_every_answer_is_right():
    right = torch.eye(10) * 5
    assert fit_calibration(right, torch.arange(10), smoothed=False).temperature == pytest.approx(0.05, rel=0.01)


def smoothed_logits(smoothing=0.2):
    """What a network would answer that learned smoothed labels perfectly, and the labels."""
    generator = torch.Generator().manual_seed(0)
    truth = (torch.randn(5000, 10, generator=generator) * 5).softmax(dim=1)
    labels = torch.multinomial(truth, 1, generator=generator)[:, 0]
    return ((1 - smoothing) * truth + smoothing / 10).log(), labels, truth


def test_the_floor_undoes_label_smoothing():
    logits, labels, truth = smoothed_logits()
    calibration = fit_calibration(logits, labels, smoothed=True)
    assert calibration.floor == pytest.approx(0.02, abs=0.003)
    assert calibration.temperature == pytest.approx(1, abs=0.05)
    assert (calibration(logits) - truth).abs().max() < 0.05
    alone = fit_calibration(logits, labels, smoothed=False)
    nll_alone, nll = (negative_log_likelihood(fit(logits).numpy(), labels.numpy()) for fit in (alone, calibration))
    assert nll < nll_alone - 0.01


def test_no_floor_is_fitted_where_no_label_was_smoothed():
    logits, labels, _truth = smoothed_logits()
    assert fit_calibration(logits, labels, smoothed=False).floor == 0


def test_the_floor_keeps_the_order_of_the_classes_and_probabilities_that_sum_to_1():
    logits = torch.randn(100, 10, generator=torch.Generator().manual_seed(1)) * 4
    probabilities = Calibration(temperature=1.3, floor=0.05)(logits)
    assert probabilities.argsort(dim=1).equal(logits.argsort(dim=1))
    assert probabilities.sum(dim=1).numpy() == pytest.approx(np.ones(100), abs=1e-6)


THREE = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])


def test_a_confusion_matrix_has_truth_in_rows_and_answers_in_columns():
    counts = confusion_matrix(THREE, np.array([0, 1, 1, 0]))
    assert counts.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]


def test_reliability_has_mean_confidence_and_accuracy_by_bin():
    bins = reliability(THREE, np.array([0, 1, 1, 0]))
    assert bins.counts.sum() == 4
    assert bins.counts[[7, 8, 10, 11]].tolist() == [1, 1, 1, 1]  # 0.5, 0.6, 0.7, 0.8 in fifteenths
    assert bins.confidences[[7, 8, 10, 11]] == pytest.approx([0.5, 0.6, 0.7, 0.8])
    assert bins.accuracies[[7, 8, 10, 11]].tolist() == [1, 0, 1, 0]


def test_the_worst_mistakes_are_the_surest_ones():
    assert worst_mistakes(THREE, np.array([0, 1, 1, 0])).tolist() == [3, 1]


def test_auroc_is_how_often_the_inlier_scores_higher_and_half_where_they_tie():
    assert auroc(np.array([3.0, 2.0]), np.array([1.0, 0.0, 0.5])) == 1.0
    assert auroc(np.array([0.0]), np.array([1.0, 2.0])) == 0.0
    assert auroc(np.array([1.0, 3.0]), np.array([1.0, 2.0])) == (0.5 + 0 + 1 + 1) / 4
