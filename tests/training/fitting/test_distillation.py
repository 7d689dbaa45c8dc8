"""A teacher: its probabilities, mixed into the labels, on the very images the student sees."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.exported_models import publish_tiny_model, random_split
from support.fitting import QUICK, run
from support.paths import DATA

from training.device import threads
from training.export.onnx_file import predict_onnx, run_onnx
from training.fitting.distillation import Teacher, TeacherError
from training.fitting.outlier_exposure import outliers_of
from training.metrics import auroc
from training.pipeline import building
from training.recipes.zoo import MNIST


@pytest.fixture
def folder(tmp_path):
    return publish_tiny_model(tmp_path)


def pixels_of(images):
    return images.round().to(torch.uint8).numpy()


def targets_of(folder, split, *, share=1.0, device="cpu"):
    (lesson,) = Teacher(folder, device=torch.device(device)).label([split], share=share)
    return lesson.targets.numpy()


def test_targets_are_the_teachers_probabilities_and_the_labels_by_share(folder):
    split = random_split(count=5)
    targets = targets_of(folder, split, share=0.25)
    probabilities = predict_onnx(folder / "model.onnx", split.images.numpy())
    np.testing.assert_allclose(targets, 0.25 * probabilities + 0.75 * np.eye(10)[split.labels], atol=1e-6)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)


def test_deformed_images_are_rounded_to_the_pixels_that_the_teacher_takes(folder):
    split = random_split(count=5)
    noisy = replace(split, images=split.images.float() + 0.4)
    np.testing.assert_array_equal(targets_of(folder, split), targets_of(folder, noisy))


def test_every_batch_comes_with_its_own_targets_in_order(folder):
    whole = random_split(count=10)
    batches = [whole[torch.arange(start, min(start + 4, 10))] for start in (0, 4, 8)]
    lessons = list(Teacher(folder).label(batches, share=1.0))
    assert [lesson.images is batch.images for lesson, batch in zip(lessons, batches, strict=True)] == [True] * 3
    assert [lesson.labels is batch.labels for lesson, batch in zip(lessons, batches, strict=True)] == [True] * 3
    np.testing.assert_allclose(torch.cat([lesson.targets for lesson in lessons]), targets_of(folder, whole), atol=1e-6)
    assert list(Teacher(folder).label([], share=1.0)) == []


def test_outliers_join_a_batch_without_labels_and_have_the_teachers_word_alone(folder):
    split = replace(split := random_split(count=20), images=split.images.float())
    (lesson,) = Teacher(folder).label([split], share=0.25, outliers=True)
    assert (len(lesson.images), len(lesson.labels)) == (40, 20)
    torch.testing.assert_close(lesson.images[:20], split.images)
    np.testing.assert_array_equal(lesson.targets[:20], targets_of(folder, split, share=0.25))
    said = predict_onnx(folder / "model.onnx", pixels_of(lesson.images[20:]))
    np.testing.assert_allclose(lesson.targets[20:], said, atol=1e-6)


def test_a_lesson_has_the_teachers_logits_for_all_its_images(folder):
    (lesson,) = Teacher(folder).label([random_split(count=20)], share=0.25, outliers=True)
    (said,) = run_onnx(folder / "model.onnx", ["logits"], pixels_of(lesson.images))
    np.testing.assert_allclose(lesson.teacher_logits, said, atol=1e-5)


def test_a_student_learns_what_its_teacher_says_of_outliers_if_its_recipe_wants_it(folder, monkeypatch):
    monkeypatch.setattr(building, "MODELS_DIR", folder.parents[1])
    sizes = []
    for exposure in (False, True):
        recipe = replace(QUICK, epochs=1, teacher="tiny/1", outlier_exposure=exposure)
        fitting = building.make_fitting(MNIST, recipe, MNIST.load(DATA), seed=0, device=torch.device("cpu"))
        fitting.network.register_forward_hook(lambda network, inputs, _: sizes.append((network.training, len(*inputs))))
        (epoch,) = run(fitting).history
        assert 0 < epoch.train_accuracy <= 1
    taught = [size for training, size in sizes if training]
    assert max(taught) == 2 * max(taught[: len(taught) // 2])


def energies(network, images):
    with torch.inference_mode():
        return network.eval()(images).logsumexp(dim=1)


def test_energy_tells_outliers_from_a_batchs_own_images_once_it_was_learned(folder, monkeypatch):
    monkeypatch.setattr(building, "MODELS_DIR", folder.parents[1])
    data, told = MNIST.load(DATA), []
    outliers = outliers_of(data.train.images.float())
    for exposure in (False, True):
        recipe = replace(QUICK, epochs=25, patience=25, teacher="tiny/1", teacher_share=0.0, outlier_exposure=exposure)
        fitting = building.make_fitting(MNIST, recipe, data, seed=0, device=torch.device("cpu"))
        run(fitting)
        known, others = (energies(fitting.network, images) for images in (data.train.images, outliers))
        told.append(auroc(known.numpy(), others.numpy()))
    assert told[1] > told[0] + 0.05


def test_a_student_whose_logits_are_matched_has_nearly_its_teachers(folder, monkeypatch):
    monkeypatch.setattr(building, "MODELS_DIR", folder.parents[1])
    data, distances = MNIST.load(DATA), []
    (said,) = run_onnx(folder / "model.onnx", ["logits"], data.val.images.numpy())
    for weight in (0.0, 1.0):
        recipe = replace(QUICK, epochs=10, teacher="tiny/1", teacher_share=1.0, logit_matching=weight)
        fitting = building.make_fitting(MNIST, recipe, data, seed=0, device=torch.device("cpu"))
        run(fitting)
        with torch.inference_mode():
            distances.append(float((fitting.network.eval()(data.val.images) - torch.from_numpy(said)).square().mean()))
    assert distances[1] < distances[0] / 2


without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which is asked in float")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=without_gpu)])
def test_a_teacher_that_has_8_bits_teaches_in_them_wherever_no_gpu_can(tmp_path, monkeypatch, device, capsys):
    monkeypatch.setattr("training.evaluation.gate.MAX_LOSS", 1.0)
    split = random_split(count=64)
    folder = publish_tiny_model(tmp_path, calibration=split.images)
    targets = targets_of(folder, split, device=device)
    int8, float32 = (predict_onnx(folder / name, split.images.numpy()) for name in ("model.int8.onnx", "model.onnx"))
    np.testing.assert_array_equal(targets, int8)
    assert (int8 != float32).any()
    assert ("the teacher answers from the CPU, more slowly" in capsys.readouterr().err) == (device == "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_teacher_answers_on_the_students_gpu(folder):
    assert Teacher(folder, device=torch.device("cuda")).session.get_providers()[0] == "CUDAExecutionProvider"


def test_a_teacher_is_asked_where_its_student_computes(folder, monkeypatch):
    devices = []
    monkeypatch.setattr(building, "MODELS_DIR", folder.parents[1])
    monkeypatch.setattr(building, "Teacher", lambda folder, device, threads: devices.append(device))
    recipe = replace(QUICK, teacher="tiny/1")
    building.make_fitting(MNIST, recipe, MNIST.load(DATA), seed=0, device=torch.device("cpu"))
    assert devices == [torch.device("cpu")]


def test_the_next_batch_is_handed_to_the_teacher_before_the_student_gets_this_one(folder):
    split, drawn = random_split(count=2), []

    def batches():
        for number in range(3):
            drawn.append(number)
            yield split

    assert [len(drawn) for _ in Teacher(folder).label(batches(), share=1.0)] == [2, 3, 3]


def test_a_teacher_gets_half_of_the_threads_for_as_long_as_the_run_takes(folder, monkeypatch):
    monkeypatch.setattr(building, "MODELS_DIR", folder.parents[1])
    recipe, seen = replace(QUICK, epochs=1, teacher="tiny/1"), []
    with threads(4):
        fitting = building.make_fitting(MNIST, recipe, MNIST.load(DATA), seed=0, device=torch.device("cpu"))
        fitting.run(stopped=lambda: False, after_epoch=lambda: seen.append(torch.get_num_threads()))
        assert (seen, torch.get_num_threads()) == ([2], 4)


def test_no_teacher_is_one_clear_error(tmp_path):
    with pytest.raises(TeacherError, match="retrain it first"):
        Teacher(tmp_path / "mnist-cnn" / "1")


def test_a_student_learns_what_its_teacher_says_whatever_the_labels(folder, monkeypatch):
    monkeypatch.setattr(building, "MODELS_DIR", folder.parents[1])
    data, file = MNIST.load(DATA), folder / "model.onnx"
    says = [torch.from_numpy(predict_onnx(file, part.images.numpy()).argmax(axis=1)) for part in (data.train, data.val)]
    data = replace(data, val=replace(data.val, labels=says[1]))  # by which the best epoch is chosen
    recipe = replace(QUICK, epochs=40, patience=40, teacher="tiny/1", teacher_share=1.0, drop_rate=0.0)
    fitting = building.make_fitting(MNIST, recipe, data, seed=0, device=torch.device("cpu"))
    run(fitting)
    learned = fitting.network(data.train.images).argmax(dim=1)
    assert (learned == says[0]).float().mean() > 0.7
    assert (data.train.labels == says[0]).float().mean() < 0.3
