"""Training loop: fits a network to the training split and keeps its best epoch."""

import copy
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from training.data.datasets import DataSet, Split
from training.device import half_of_threads, limit_threads, mixed_precision
from training.fitting.checkpoints import Checkpoint
from training.fitting.distillation import Teacher
from training.fitting.hard_examples import HardExampleSelector
from training.fitting.history import Epoch, FitResult, best_epoch, describe_epoch
from training.fitting.lookahead import SYNC_INTERVAL, Lookahead
from training.fitting.loss import training_loss
from training.fitting.optimizers import learning_rate, make_optimizer, set_learning_rate
from training.fitting.prediction import compute_accuracy, predict_logits
from training.fitting.training_batch import TrainingBatch
from training.recipes.recipe import Recipe


class Trainer:
    """Training run that can be observed, stopped and resumed.

    The run's seed and the epoch's number determine an epoch's seed, so a resumed run gives the same result.
    """

    def __init__(
        self,
        network: nn.Module,
        data: DataSet,
        recipe: Recipe,
        *,
        seed: int,
        device: torch.device,
        selector: HardExampleSelector | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        self.network, self.data, self.recipe, self.seed, self.device = network, data, recipe, seed, device
        self.selector, self.teacher = selector, teacher
        self.optimizer = make_optimizer(network, recipe)
        self.lookahead = Lookahead(network) if recipe.lookahead else None
        draws = torch.rand(len(data.train), generator=torch.Generator().manual_seed(seed))
        self.mirrored_first = (draws < 0.5).to(device)
        self.history: list[Epoch] = []
        self.best_weights = copy.deepcopy(network.state_dict())
        self.seconds = 0.0

    def run(self, *, stopped: Callable[[], bool], after_epoch: Callable[[], None]) -> FitResult | None:
        """Train until the last epoch, the end of patience, or ``stopped()``.

        Return None if no epoch finished.

        The network is left in evaluation mode, with the weights of the best epoch.
        """
        train, recipe = self.data.train, self.recipe
        total, done = recipe.epochs * len(train), len(self.history) * len(train)
        options = {"unit": " images", "unit_scale": True, "disable": None, "dynamic_ncols": True}
        with self._student_threads(), tqdm(total=total, initial=done, **options) as bar:
            while not (self._is_over() or stopped()):
                epoch = self._run_epoch(bar, stopped)
                if epoch is None:
                    break
                after_epoch()
                bar.write(describe_epoch(epoch, recipe.epochs), file=sys.stderr)
        if not self.history:
            return None
        self.network.load_state_dict(self.best_weights)
        self.network.eval()
        best = self._best_epoch()
        return FitResult(history=self.history, best=best, seconds=self.seconds, stopped=not self._is_over())

    def checkpoint(self, run: dict[str, object]) -> Checkpoint:
        """Return the state for :meth:`restore`."""
        return Checkpoint(
            run=run,
            network=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            average=self.lookahead.slow if self.lookahead else {},
            selector=self.selector.state_dict() if self.selector else {},
            best=self.best_weights,
            history=[asdict(epoch) for epoch in self.history],
            seconds=self.seconds,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the state of a checkpoint."""
        self.network.load_state_dict(checkpoint.network)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        if self.lookahead:
            self.lookahead.slow = checkpoint.average
        if self.selector:
            self.selector.load_state_dict(checkpoint.selector)
        self.best_weights = checkpoint.best
        self.history = [Epoch(**epoch) for epoch in checkpoint.history]
        self.seconds = checkpoint.seconds

    def _student_threads(self) -> AbstractContextManager[None]:
        """Reserve half of the threads for the teacher if the student uses the CPU."""
        return limit_threads(half_of_threads()) if self.teacher and self.device.type == "cpu" else nullcontext()

    def _best_epoch(self) -> Epoch:
        """Return the epoch to keep: the last one if the learning rate is nearly 0.

        On few validation images, an earlier epoch may equal it by chance.
        """
        has_fallen = self.recipe.decays_to_zero and len(self.history) == self.recipe.epochs
        return self.history[-1] if has_fallen else best_epoch(self.history)

    def _is_over(self) -> bool:
        if not self.history:
            return False
        since_best = len(self.history) - self._best_epoch().epoch
        return len(self.history) >= self.recipe.epochs or since_best >= self.recipe.patience

    def _run_epoch(self, bar: "tqdm[None]", stopped: Callable[[], bool]) -> Epoch | None:
        """Train on every image once and validate.

        Return None and discard the epoch if the run is stopped meanwhile.
        """
        started, number, num_images = time.perf_counter(), len(self.history) + 1, len(self.data.train)
        torch.manual_seed(self.seed * 1_000_003 + number)
        self.network.train()
        loss_sum, num_correct = torch.zeros(2, device=self.device)
        val_losses = tuple(epoch.val_loss for epoch in self.history)
        num_trained, batches = 0, self._training_batches(mirrored=self.mirrored_first ^ (number % 2 == 0))
        steps = math.ceil(num_images / self.recipe.batch_size)
        for step, batch in enumerate(batches):
            if stopped():
                return None
            progress = (number - 1 + step / steps) / self.recipe.epochs
            lr = learning_rate(self.recipe, progress, val_losses)
            bar.update(len(batch.labels))
            if self.selector:
                batch = batch[self.selector.select(batch.images, batch.labels, step=step, lr=lr)]  # noqa: PLW2901
            labels = batch.labels
            loss, logits = self._step(batch, lr)
            if self.lookahead and (step % SYNC_INTERVAL == SYNC_INTERVAL - 1 or step == steps - 1):
                self.lookahead.synchronize(progress)
            loss_sum += loss * len(labels)
            num_correct += (logits.argmax(dim=1) == labels).sum()
            num_trained += len(labels)
            if step % 10 == 0 and not bar.disable:  # reading a value synchronizes with the GPU
                bar.set_postfix(epoch=number, loss=f"{float(loss):.3f}", acc=f"{compute_accuracy(logits, labels):.3f}")
        train_loss, train_accuracy = float(loss_sum) / num_trained, float(num_correct) / num_trained
        seconds = time.perf_counter() - started  # measured after the line above, which waits for the GPU
        val_loss, val_accuracy = self._validate()
        self.seconds += time.perf_counter() - started
        return self._record(
            Epoch(
                epoch=number,
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                lr=lr,
                images_per_s=num_images / seconds,
            )
        )

    def _training_batches(self, *, mirrored: Tensor) -> Iterator[TrainingBatch]:
        """Yield every training image once, shuffled and augmented, with targets."""
        batches, recipe = self._augmented(mirrored), self.recipe
        if self.teacher:
            return self.teacher.add_targets(
                batches, teacher_share=recipe.teacher_share, outliers=recipe.outlier_exposure
            )
        return (TrainingBatch(images=batch.images, targets=batch.labels, labels=batch.labels) for batch in batches)

    def _augmented(self, mirrored: Tensor) -> Iterator[Split]:
        train = self.data.train
        for rows in torch.split(torch.randperm(len(train), device=train.labels.device), self.recipe.batch_size):
            images = self.recipe.augmentation(train.images[rows], mirrored=mirrored[rows])
            yield Split(images=images, labels=train.labels[rows])

    def _step(self, batch: TrainingBatch, lr: float) -> tuple[Tensor, Tensor]:
        """Take an optimizer step; return the loss and the logits of labelled images."""
        set_learning_rate(self.optimizer, lr)
        with mixed_precision(self.device, enabled=self.recipe.mixed_precision):
            logits = self.network(batch.images).float()
        loss = training_loss(logits, batch, self.recipe)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        return loss.detach(), logits[: len(batch.labels)].detach()

    def _validate(self) -> tuple[float, float]:
        with mixed_precision(self.device, enabled=self.recipe.mixed_precision):
            logits = predict_logits(self.network, self.data.val.images)
        labels = self.data.val.labels
        return float(functional.cross_entropy(logits, labels)), compute_accuracy(logits, labels)

    def _record(self, epoch: Epoch) -> Epoch:
        self.history.append(epoch)
        if self._best_epoch() is epoch:
            self.best_weights = copy.deepcopy(self.network.state_dict())
        return epoch
