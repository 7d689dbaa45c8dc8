"""Metrics against values computed by hand, and calibration."""

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
LABELS = np.array([0, 1, 1, 1])  # correct, wrong, correct, wrong


def test_accuracy_is_the_fraction_classified_correctly():
    assert measure(PROBABILITIES, LABELS).accuracy == 0.5
    assert measure(PROBABILITIES, LABELS).num_images == 4


def test_nll_is_the_mean_of_minus_log_p():
    expected = -(math.log(0.9) + math.log(0.4) + math.log(0.7) + math.log(0.5)) / 4
    assert negative_log_likelihood(PROBABILITIES, LABELS) == pytest.approx(expected, abs=1e-6)


def test_nll_of_probability_0_is_finite():
    assert negative_log_likelihood(np.array([[0.0, 1.0]], dtype=np.float32), np.array([0])) == pytest.approx(
        87.3, abs=0.1
    )


def test_ece_weights_the_gap_of_each_bin_by_its_images():
    # bins of width 1/15: each confidence has its own bin; gaps 0.1, 0.6, 0.3, 0.5
    assert expected_calibration_error(PROBABILITIES, LABELS) == pytest.approx((0.1 + 0.6 + 0.3 + 0.5) / 4, abs=1e-6)


def test_ece_cancels_errors_within_one_bin():
    probabilities = np.array([[0.75, 0.25]] * 4)
    assert expected_calibration_error(probabilities, np.array([0, 0, 0, 1])) == pytest.approx(0)
    assert expected_calibration_error(probabilities, np.array([0, 0, 0, 0])) == pytest.approx(0.25)


def test_ece_has_a_bin_for_confidence_1():
    assert expected_calibration_error(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1])) == pytest.approx(0.5)


def overconfident_logits():
    """Return labels drawn from softmax(logits), and logits multiplied by 3."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20000, 10, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    return logits * 3, labels


def test_temperature_corrects_overconfident_logits():
    assert fit_calibration(*overconfident_logits(), smoothed=False).temperature == pytest.approx(3, rel=0.03)


def test_calibration_lowers_nll_and_ece_and_keeps_accuracy():
    logits, labels = overconfident_logits()
    before = measure(logits.softmax(dim=1).numpy(), labels.numpy())
    after = measure(fit_calibration(logits, labels, smoothed=False)(logits).numpy(), labels.numpy())
    assert after.nll < before.nll - 0.1
    assert after.ece < 0.02 < before.ece
    assert after.accuracy == before.accuracy


def test_temperature_stays_bounded_when_all_images_are_correct():
    right = torch.eye(10) * 5
    assert fit_calibration(right, torch.arange(10), smoothed=False).temperature == pytest.approx(0.05, rel=0.01)


def smoothed_logits(smoothing=0.2):
    """Return logits trained on smoothed labels, labels, and true probabilities."""
    generator = torch.Generator().manual_seed(0)
    truth = (torch.randn(5000, 10, generator=generator) * 5).softmax(dim=1)
    labels = torch.multinomial(truth, 1, generator=generator)[:, 0]
    return ((1 - smoothing) * truth + smoothing / 10).log(), labels, truth


def test_floor_corrects_label_smoothing():
    logits, labels, truth = smoothed_logits()
    calibration = fit_calibration(logits, labels, smoothed=True)
    assert calibration.floor == pytest.approx(0.02, abs=0.003)
    assert calibration.temperature == pytest.approx(1, abs=0.05)
    assert (calibration(logits) - truth).abs().max() < 0.05
    without_floor = fit_calibration(logits, labels, smoothed=False)
    nll_without_floor, nll = (
        negative_log_likelihood(fit(logits).numpy(), labels.numpy()) for fit in (without_floor, calibration)
    )
    assert nll < nll_without_floor - 0.01


def test_floor_is_0_without_label_smoothing():
    logits, labels, _truth = smoothed_logits()
    assert fit_calibration(logits, labels, smoothed=False).floor == 0


def test_floor_keeps_the_class_order_and_the_sum_of_1():
    logits = torch.randn(100, 10, generator=torch.Generator().manual_seed(1)) * 4
    probabilities = Calibration(temperature=1.3, floor=0.05)(logits)
    assert probabilities.argsort(dim=1).equal(logits.argsort(dim=1))
    assert probabilities.sum(dim=1).numpy() == pytest.approx(np.ones(100), abs=1e-6)


THREE = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])


def test_confusion_matrix_has_labels_in_rows():
    counts = confusion_matrix(THREE, np.array([0, 1, 1, 0]))
    assert counts.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]


def test_reliability_has_mean_confidence_and_accuracy_per_bin():
    bins = reliability(THREE, np.array([0, 1, 1, 0]))
    assert bins.counts.sum() == 4
    assert bins.counts[[7, 8, 10, 11]].tolist() == [1, 1, 1, 1]  # 0.5, 0.6, 0.7, 0.8 in fifteenths
    assert bins.confidences[[7, 8, 10, 11]] == pytest.approx([0.5, 0.6, 0.7, 0.8])
    assert bins.accuracies[[7, 8, 10, 11]].tolist() == [1, 0, 1, 0]


def test_worst_mistakes_start_with_the_highest_confidence():
    assert worst_mistakes(THREE, np.array([0, 1, 1, 0])).tolist() == [3, 1]


def test_auroc_counts_higher_inlier_scores_and_half_of_ties():
    assert auroc(np.array([3.0, 2.0]), np.array([1.0, 0.0, 0.5])) == 1.0
    assert auroc(np.array([0.0]), np.array([1.0, 2.0])) == 0.0
    assert auroc(np.array([1.0, 3.0]), np.array([1.0, 2.0])) == (0.5 + 0 + 1 + 1) / 4
