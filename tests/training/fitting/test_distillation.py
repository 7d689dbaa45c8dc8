"""Distillation: teacher predictions for augmented images, mixed with labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.exported_models import publish_tiny_model, random_split
from support.fitting import SHORT_RECIPE, run
from support.paths import DATA

from training.device import limit_threads
from training.export.onnx_file import predict_onnx, run_onnx
from training.fitting.distillation import Teacher, TeacherError
from training.fitting.outlier_exposure import make_outliers
from training.fitting.prediction import predict_logits
from training.metrics import auroc
from training.onnx_session import runs_on_gpu
from training.pipeline.building import make_trainer
from training.recipes.zoo import MNIST

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    return publish_tiny_model(tmp_path)


def make_student(folder, *, data=None, device=CPU, **settings):
    """Return the trainer of a network with the teacher in ``folder``."""
    recipe = replace(SHORT_RECIPE, teacher="tiny/1", **settings)
    return make_trainer(MNIST, recipe, data or MNIST.load(DATA), seed=0, device=device, models_dir=folder.parents[1])


def pixels_of(images):
    return images.round().to(torch.uint8).numpy()


def targets_of(folder, split, *, teacher_share=1.0, device="cpu"):
    (batch,) = Teacher(folder, device=torch.device(device)).add_targets([split], teacher_share=teacher_share)
    return batch.targets.numpy()


def test_targets_mix_teacher_probabilities_and_labels_by_share(folder):
    split = random_split(count=5)
    targets = targets_of(folder, split, teacher_share=0.25)
    probabilities = predict_onnx(folder / "model.onnx", split.images.numpy())
    np.testing.assert_allclose(targets, 0.25 * probabilities + 0.75 * np.eye(10)[split.labels], atol=1e-6)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)


def test_augmented_images_are_rounded_for_the_teacher(folder):
    split = random_split(count=5)
    noisy = replace(split, images=split.images.float() + 0.4)
    np.testing.assert_array_equal(targets_of(folder, split), targets_of(folder, noisy))


def test_batches_have_their_own_targets_in_order(folder):
    whole = random_split(count=10)
    batches = [whole[torch.arange(start, min(start + 4, 10))] for start in (0, 4, 8)]
    labelled = list(Teacher(folder).add_targets(batches, teacher_share=1.0))
    assert [found.images is batch.images for found, batch in zip(labelled, batches, strict=True)] == [True] * 3
    assert [found.labels is batch.labels for found, batch in zip(labelled, batches, strict=True)] == [True] * 3
    np.testing.assert_allclose(torch.cat([batch.targets for batch in labelled]), targets_of(folder, whole), atol=1e-6)
    assert list(Teacher(folder).add_targets([], teacher_share=1.0)) == []


def test_outliers_have_no_labels_and_only_teacher_targets(folder):
    split = replace(split := random_split(count=20), images=split.images.float())
    (batch,) = Teacher(folder).add_targets([split], teacher_share=0.25, outliers=True)
    assert (len(batch.images), len(batch.labels)) == (40, 20)
    torch.testing.assert_close(batch.images[:20], split.images)
    np.testing.assert_array_equal(batch.targets[:20], targets_of(folder, split, teacher_share=0.25))
    expected = predict_onnx(folder / "model.onnx", pixels_of(batch.images[20:]))
    np.testing.assert_allclose(batch.targets[20:], expected, atol=1e-6)


def test_training_batch_has_the_teacher_logits_of_all_images(folder):
    (batch,) = Teacher(folder).add_targets([random_split(count=20)], teacher_share=0.25, outliers=True)
    (expected,) = run_onnx(folder / "model.onnx", ["logits"], pixels_of(batch.images))
    np.testing.assert_allclose(batch.teacher_logits, expected, atol=1e-5)


def test_outliers_double_the_batch_if_the_recipe_exposes_them(folder):
    sizes = []
    for exposure in (False, True):
        trainer = make_student(folder, epochs=1, outlier_exposure=exposure)
        trainer.network.register_forward_hook(lambda network, inputs, _: sizes.append((network.training, len(*inputs))))
        (epoch,) = run(trainer).history
        assert 0 < epoch.train_accuracy <= 1
    trained = [size for training, size in sizes if training]
    assert max(trained) == 2 * max(trained[: len(trained) // 2])


def energies(network, images):
    with torch.inference_mode():
        return network.eval()(images).logsumexp(dim=1)


def test_energy_separates_outliers_after_outlier_exposure(folder):
    data, aurocs = MNIST.load(DATA), []
    outliers = make_outliers(data.train.images.float())
    for exposure in (False, True):
        trainer = make_student(folder, epochs=25, patience=25, teacher_share=0.0, outlier_exposure=exposure)
        run(trainer)
        known, others = (energies(trainer.network, images) for images in (data.train.images, outliers))
        aurocs.append(auroc(known.numpy(), others.numpy()))
    assert aurocs[1] > aurocs[0] + 0.05


def test_logit_matching_brings_logits_close_to_the_teachers(folder):
    data, distances = MNIST.load(DATA), []
    (expected,) = run_onnx(folder / "model.onnx", ["logits"], data.val.images.numpy())
    for weight in (0.0, 1.0):
        trainer = make_student(folder, epochs=10, teacher_share=1.0, logit_matching=weight)
        run(trainer)
        logits = predict_logits(trainer.network, data.val.images)
        distances.append(float((logits - torch.from_numpy(expected)).square().mean()))
    assert distances[1] < distances[0] / 2


without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which uses the float graph")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=without_gpu)])
def test_teacher_uses_its_int8_graph_without_a_gpu(tmp_path, device, capsys):
    split = random_split(count=64)
    folder = publish_tiny_model(tmp_path, calibration=split.images)
    targets = targets_of(folder, split, device=device)
    int8, float32 = (predict_onnx(folder / name, split.images.numpy()) for name in ("model.int8.onnx", "model.onnx"))
    np.testing.assert_array_equal(targets, int8)
    assert (int8 != float32).any()
    assert ("the teacher runs on the CPU" in capsys.readouterr().err) == (device == "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_teacher_runs_on_the_gpu_of_the_student(folder):
    assert runs_on_gpu(make_student(folder, device=torch.device("cuda")).teacher.session)
    assert not runs_on_gpu(make_student(folder, device=CPU).teacher.session)


def test_teacher_gets_the_next_batch_ahead_of_the_student(folder):
    split, drawn = random_split(count=2), []

    def batches():
        for number in range(3):
            drawn.append(number)
            yield split

    assert [len(drawn) for _ in Teacher(folder).add_targets(batches(), teacher_share=1.0)] == [2, 3, 3]


def test_teacher_gets_half_of_the_threads_during_the_run(folder):
    seen = []
    with limit_threads(4):
        trainer = make_student(folder, epochs=1)
        trainer.run(stopped=lambda: False, after_epoch=lambda: seen.append(torch.get_num_threads()))
        assert (seen, torch.get_num_threads()) == ([2], 4)


def test_missing_teacher_is_a_teacher_error(tmp_path):
    with pytest.raises(TeacherError, match="retrain it first"):
        Teacher(tmp_path / "mnist-cnn" / "1")


def test_student_learns_the_teacher_predictions_not_the_labels(folder):
    data, file = MNIST.load(DATA), folder / "model.onnx"
    predicted = [
        torch.from_numpy(predict_onnx(file, part.images.numpy()).argmax(axis=1)) for part in (data.train, data.val)
    ]
    data = replace(data, val=replace(data.val, labels=predicted[1]))  # the best epoch is chosen on these
    trainer = make_student(folder, data=data, epochs=40, patience=40, teacher_share=1.0, drop_rate=0.0)
    run(trainer)
    learned = trainer.network(data.train.images).argmax(dim=1)
    assert (learned == predicted[0]).float().mean() > 0.7
    assert (data.train.labels == predicted[0]).float().mean() < 0.3
