"""Training loop: learning, best epoch, early stopping, checkpoints, schedules."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from support.fitting import SHORT_RECIPE, run
from support.paths import DATA

from training.data.augmentation import Augmentation
from training.fitting.checkpoints import CheckpointError, describe_run, load_checkpoint, save_checkpoint
from training.fitting.hard_examples import HardExampleSelector
from training.fitting.lookahead import Lookahead
from training.fitting.optimizers import learning_rate, make_optimizer, set_learning_rate
from training.fitting.prediction import predict_logits
from training.pipeline import building
from training.recipes.recipe import Recipe
from training.recipes.zoo import CIFAR10, MNIST, ZOO

CPU = torch.device("cpu")
SMALL_CNN = replace(
    CIFAR10.recipes["published"], epochs=4, batch_size=2, widths=(16, 16, 16), selector_widths=(8, 8, 8), lr=0.05
)
SMALL_MLP = replace(MNIST.recipes["published"], epochs=4, batch_size=32, widths=(32, 16))


def make_trainer(model=MNIST, recipe=SHORT_RECIPE, *, seed=0, data=None):
    return building.make_trainer(model, recipe, data or model.load(DATA), seed=seed, device=CPU)


def record_training_images(network):
    """Return a list that gets the images of every training step."""
    batches = []

    def record(network, inputs):
        if network.training:
            batches.extend(inputs)

    network.register_forward_pre_hook(record)
    return batches


def without_speed(history):
    return [replace(epoch, images_per_s=0.0) for epoch in history]


def test_run_learns_digits_from_190_images():
    fit = run(make_trainer(recipe=replace(SHORT_RECIPE, epochs=15)))
    assert fit.best.val_accuracy >= 0.7
    assert fit.history[-1].train_loss < fit.history[0].train_loss / 3


def test_run_keeps_the_best_epoch():
    trainer, weights = make_trainer(), []

    def record_then_reset_weights():
        weights.append(copy.deepcopy(trainer.network.state_dict()))
        if len(weights) == 3:
            for parameter in trainer.network.parameters():
                torch.nn.init.zeros_(parameter)

    fit = run(trainer, after_epoch=record_then_reset_weights)
    assert fit.best.epoch <= 3
    kept = trainer.network.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights[fit.best.epoch - 1].items())
    logits = predict_logits(trainer.network, trainer.data.val.images)
    assert float((logits.argmax(dim=1) == trainer.data.val.labels).float().mean()) == fit.best.val_accuracy


def test_run_keeps_the_last_epoch_if_the_rate_fell_to_0():
    recipe = replace(SHORT_RECIPE, epochs=3, schedule="triangular", lr=0.0)  # of equal epochs, the first is the best
    assert run(make_trainer(recipe=recipe)).best.epoch == 3
    assert run(make_trainer(recipe=recipe), epochs=2).best.epoch == 1
    assert run(make_trainer(recipe=replace(recipe, schedule="constant"))).best.epoch == 1


def test_run_stops_when_its_patience_ends():
    fit = run(make_trainer(recipe=replace(SHORT_RECIPE, epochs=50, lr=0.0, patience=2)))
    assert fit.best.epoch == 1
    assert len(fit.history) == 3


def test_fit_reports_whether_it_was_stopped():
    assert run(make_trainer(), epochs=5).stopped
    assert not run(make_trainer(), epochs=6).stopped  # its last epoch
    assert not run(make_trainer(recipe=replace(SHORT_RECIPE, epochs=50, lr=0.0, patience=2))).stopped


def test_run_returns_none_when_stopped_in_its_first_epoch():
    assert make_trainer().run(stopped=lambda: True, after_epoch=lambda: None) is None


def test_run_discards_an_epoch_that_was_stopped_midway():
    trainer, num_calls = make_trainer(), 0

    def in_the_third_epoch():
        nonlocal num_calls
        num_calls += 1
        return num_calls == 2 * 7 + 4  # one call per epoch and one per batch, of which an epoch has 6

    assert len(trainer.run(stopped=in_the_third_epoch, after_epoch=lambda: None).history) == 2


@pytest.mark.parametrize(("model", "recipe"), [(MNIST, SMALL_MLP), (CIFAR10, SMALL_CNN)], ids=["mnist", "cifar10"])
def test_resumed_run_equals_an_uninterrupted_one(model, recipe, tmp_path):
    whole = make_trainer(model, recipe)
    run(whole)
    settings = describe_run(model=model.name, recipe=recipe, seed=0)
    interrupted = make_trainer(model, recipe)
    run(
        interrupted,
        epochs=2,
        after_epoch=lambda: save_checkpoint(tmp_path / "run.pt", interrupted.checkpoint(settings)),
    )
    resumed = make_trainer(model, recipe)
    torch.nn.init.zeros_(next(resumed.network.parameters()))  # so that the initial weights have no effect
    resumed.restore(load_checkpoint(tmp_path / "run.pt", run=settings, device=CPU))
    assert len(resumed.history) == 2
    run(resumed)
    assert [epoch.epoch for epoch in resumed.history] == [1, 2, 3, 4]
    for one, other in zip(without_speed(resumed.history), without_speed(whole.history), strict=True):
        assert vars(one) == pytest.approx(vars(other), rel=1e-4)
    for name, tensor in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], tensor, msg=name)


def test_seed_changes_the_run():
    one, other = run(make_trainer(seed=0), epochs=1), run(make_trainer(seed=1), epochs=1)
    assert one.history[0].train_loss != other.history[0].train_loss


def test_checkpoint_of_other_settings_is_rejected(tmp_path):
    trainer, path = make_trainer(), tmp_path / "run.pt"
    save_checkpoint(path, trainer.checkpoint(describe_run(recipe=SHORT_RECIPE, seed=0)))
    with pytest.raises(CheckpointError, match=r"belongs to another run: its seed is 0, this run's is 1"):
        load_checkpoint(path, run=describe_run(recipe=SHORT_RECIPE, seed=1), device=CPU)


def test_missing_checkpoint_is_a_checkpoint_error(tmp_path):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        load_checkpoint(tmp_path / "run.pt", run={}, device=CPU)


class Interrupting:
    """Object that raises KeyboardInterrupt when it is pickled."""

    def __reduce__(self):
        raise KeyboardInterrupt


def test_interrupted_save_keeps_only_the_earlier_checkpoint(tmp_path):
    trainer, path = make_trainer(), tmp_path / "run.pt"
    save_checkpoint(path, trainer.checkpoint({"seed": 0}))
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, trainer.checkpoint({"seed": Interrupting()}))
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_checkpoint_that_is_not_writable_is_a_checkpoint_error(tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(CheckpointError, match=r"cannot write .*; free disk space or set --checkpoint-dir"):
        save_checkpoint(tmp_path / "file" / "run.pt", make_trainer().checkpoint({}))


def test_corrupt_checkpoint_is_a_checkpoint_error(tmp_path):
    (tmp_path / "run.pt").write_bytes(b"spoiled")
    with pytest.raises(CheckpointError, match=r"cannot read .*; omit --resume"):
        load_checkpoint(tmp_path / "run.pt", run={}, device=CPU)


def test_constant_schedule_is_constant():
    assert {learning_rate(Recipe(epochs=1, lr=0.5), progress / 10) for progress in range(11)} == {0.5}


def test_one_cycle_schedule_equals_torchs():
    recipe = Recipe(epochs=1, lr=0.5, schedule="one-cycle", warmup=0.3)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    expected = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=101, pct_start=0.303)
    rates = []
    for step in range(101):
        rates.append(learning_rate(recipe, step / 100))
        assert rates[-1] == pytest.approx(optimizer.param_groups[0]["lr"], rel=0.03, abs=1e-4)
        optimizer.step()
        if step < 100:
            expected.step()
    assert max(rates) == rates[30] == 0.5


def test_plateau_schedule_divides_the_rate_by_10():
    recipe = Recipe(epochs=1, lr=0.5, schedule="plateau")
    losses = (1.0, 0.9, 0.9, 0.9, 0.9, 0.8, 0.8, 0.8, 0.8)
    rates = [learning_rate(recipe, 0.0, losses[:count]) for count in range(len(losses) + 1)]
    assert rates == pytest.approx([0.5] * 5 + [0.05] * 4 + [0.005])


def test_triangular_schedule_rises_to_its_peak_and_falls_to_0():
    recipe = Recipe(epochs=1, lr=0.5, schedule="triangular", warmup=0.2)
    rates = [learning_rate(recipe, progress / 100) for progress in range(101)]
    assert rates[20] == max(rates) == pytest.approx(0.5)
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert (rates[60], rates[100]) == pytest.approx((0.25, 0.0))
    assert 0 < rates[0] < 0.01


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_recipe_sets_the_optimizer_and_its_decay(name, kind):
    optimizer = make_optimizer(torch.nn.Linear(3, 2), Recipe(epochs=1, optimizer=name, weight_decay=0.1))
    assert type(optimizer) is kind
    assert {group["weight_decay"] for group in optimizer.param_groups if group["params"]} == {0.1}


def test_norm_biases_have_a_higher_rate_and_equal_decay():
    norm = torch.nn.BatchNorm1d(2)
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), norm)
    optimizer = make_optimizer(network, Recipe(epochs=1, optimizer="sgd", weight_decay=0.1, bias_lr_factor=8))
    set_learning_rate(optimizer, 0.5)
    others, biases = optimizer.param_groups
    assert biases["params"] == [norm.bias]
    assert (biases["lr"], others["lr"]) == (4.0, 0.5)
    assert biases["lr"] * biases["weight_decay"] == pytest.approx(others["lr"] * others["weight_decay"])


def test_lookahead_moves_the_network_towards_the_average():
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(network.weight)
    lookahead = Lookahead(network)
    network.weight.data.fill_(3.0)
    lookahead.synchronize(0.0)
    assert network.weight.item() == 3.0  # early, the average has no weight
    network.weight.data.fill_(1.0)
    lookahead.synchronize(1.0)
    assert network.weight.item() == pytest.approx(1 + 2 * 0.95**5)  # late, it has most of the weight


def test_hardest_images_have_the_largest_loss():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    images, labels = torch.randn(20, 2, 2), torch.arange(20) % 3
    losses = torch.nn.functional.cross_entropy(network(images), labels, reduction="none")
    selector = HardExampleSelector(network, replace(SHORT_RECIPE, hardest=0.25, mixed_precision=False), device=CPU)
    rows = selector.select(images, labels, step=1, lr=0.1)
    assert set(rows.tolist()) == set(losses.topk(5).indices.tolist())


def test_selector_learns_only_from_every_fourth_batch():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    selector = HardExampleSelector(network, replace(SHORT_RECIPE, hardest=0.5), device=CPU)
    changed = []
    for step in range(5):
        before = copy.deepcopy(network.state_dict())
        selector.select(torch.randn(20, 2, 2), torch.arange(20) % 3, step=step, lr=0.1)
        changed.append(not torch.equal(before["1.weight"], network.state_dict()["1.weight"]))
    assert changed == [True, False, False, False, True]


def test_run_trains_only_on_the_hardest_images_of_a_batch():
    trainer = make_trainer(CIFAR10, replace(SMALL_CNN, batch_size=8))
    batches = record_training_images(trainer.network)
    run(trainer, epochs=1)
    assert [len(images) for images in batches] == [4] * 3


def test_images_are_mirrored_in_every_other_epoch():
    trainer = make_trainer(CIFAR10, replace(SMALL_CNN, hardest=1.0, augmentation=Augmentation(flip=True)))
    batches, originals = record_training_images(trainer.network), trainer.data.train.images
    run(trainer, epochs=3)
    mirrored = [
        torch.stack([(epoch == image.flip(1)).flatten(1).all(dim=1).any() for image in originals])
        for epoch in torch.cat(batches).chunk(3)
    ]
    assert torch.equal(mirrored[0], ~mirrored[1])
    assert torch.equal(mirrored[0], mirrored[2])
    assert 0.3 < mirrored[0].float().mean() < 0.7


@pytest.mark.parametrize(
    ("model", "recipe"), [(model, recipe) for model in ZOO.values() for recipe in model.recipes.values()]
)
def test_every_recipe_of_every_model_trains(model, recipe):
    small = replace(recipe, epochs=1, batch_size=8, teacher="", outlier_exposure=False)
    if model is CIFAR10:
        small = replace(small, widths=(8, 8, 8), selector_widths=(8, 8, 8))
    fit = run(make_trainer(model, small))
    assert math.isfinite(fit.best.val_loss)
