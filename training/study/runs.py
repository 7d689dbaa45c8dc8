"""Grid studies: training runs for every combination of settings and seeds.

Optuna's grid sampler distributes the combinations and a storage file records them. Several processes, or machines that
share the file, can work on one study. An interrupted study resumes with the remaining runs.
"""

import hashlib
import itertools
import json
import math
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

import optuna
import torch
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from tqdm import tqdm

from models.hardware import available_cores
from training.data.datasets import DataSet
from training.device import describe_hardware, keep_freed_memory
from training.fitting.prediction import compute_accuracy, predict_logits
from training.pipeline.building import make_trainer
from training.provenance import git_commit
from training.recipes.recipe import Recipe
from training.study.questions import SEED, Question, Settings

POLL_S = 1.0
DIGITS = 5  # decimals of the stored measurements per epoch


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """One run of a study."""

    settings: Settings
    seed: int
    val_accuracy: float  # of the kept epoch, 0..1
    test_accuracy: float  # 0..1
    seconds: float
    hardware: str
    git_commit: str
    history: Sequence[Mapping[str, float]]  # fields of training.fitting.history.Epoch, per epoch


@dataclass(frozen=True, kw_only=True)
class Study:
    """Options of a study."""

    question: Question
    storage: Path
    data_dir: Path
    device: torch.device
    epochs: int | None  # None: as in the recipe

    @property
    def size(self) -> int:
        """The number of runs."""
        return math.prod(map(len, self.question.grid.values()))

    @property
    def recipe(self) -> Recipe:
        """The recipe that every run varies."""
        recipe = self.question.recipe
        return replace(recipe, epochs=self.epochs or recipe.epochs, patience=self.epochs or recipe.epochs)

    def open(self) -> optuna.Study:
        """Open or create the storage; each recipe and grid is a separate study in it."""
        self.storage.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(repr((self.recipe, self.question.grid)).encode()).hexdigest()[:8]
        return optuna.create_study(
            study_name=f"{self.question.name}-{digest}",
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(self.storage))),
            sampler=optuna.samplers.GridSampler(self.question.grid, seed=0),
            direction="maximize",
            load_if_exists=True,
        )

    def complete_runs(self, study: optuna.Study) -> list[StudyRun]:
        """Return the complete runs, one per combination, in the order of the grid."""
        grid, trials = self.question.grid, study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        runs = {tuple(trial.params[name] for name in grid): StudyRun(**trial.user_attrs["run"]) for trial in trials}
        return [runs[combination] for combination in itertools.product(*grid.values()) if combination in runs]


def run_study(study: Study, *, jobs: int) -> list[StudyRun]:
    """Train the remaining combinations in parallel; return all complete runs.

    Epochs are logged to a file next to the storage. Other processes that share the storage may still train some runs.

    Raises:
        DataError: the images cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.question.model.load(study.data_dir)  # download once, and fail before training
    trials = study.open()
    requeue_failed(trials)
    total, done = study.size, study.complete_runs(trials)
    with tqdm(
        total=total, initial=len(done), desc=f"study {study.question.name}", unit="run", dynamic_ncols=True
    ) as bar:
        if len(done) < total:
            with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
                started = datetime.now()  # local time without a zone, as in Optuna's trials
                running = {pool.submit(run_worker, study, started, jobs=jobs) for _ in range(jobs)}
                while running:
                    ended, running = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
                    bar.update(len(study.complete_runs(trials)) - bar.n)
                    for worker in ended:
                        worker.result()
    return study.complete_runs(trials)


def requeue_failed(study: optuna.Study) -> None:
    """Queue failed or pruned combinations again that have no other trial."""
    trials = study.get_trials(deepcopy=False)
    failed = (TrialState.FAIL, TrialState.PRUNED)  # the sampler counts them as done
    known = [trial.params for trial in trials if trial.state not in failed]
    for trial in trials:
        if trial.state in failed and trial.params not in known:
            queue_again(study, trial)
            known.append(trial.params)


def queue_again(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    """Queue a new trial with the settings of another.

    ``study.enqueue_trial`` would lose the attribute ``grid_id``, without which ``GridSampler.after_trial`` raises
    KeyError when one combination remains.
    """
    waiting = optuna.trial.create_trial(
        state=TrialState.WAITING,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=trial.system_attrs,
    )
    study.add_trial(waiting)


def run_worker(study: Study, started: datetime, *, jobs: int) -> None:
    """Train combinations from the sampler until none remains.

    Args:
        study: its storage has the trials.
        started: the start of the command, in local time without a zone. Older unfinished trials are trained again.
        jobs: workers that divide the cores.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    keep_freed_memory()
    torch.set_num_threads(max(1, available_cores() // jobs))
    data, trials = study.question.model.load(study.data_dir), study.open()

    def train(trial: optuna.Trial) -> float:
        settings = {name: _suggest(study.question, trial, name) for name in study.question.grid}
        other_trials = _started_since(trials, started, TrialState.RUNNING, TrialState.COMPLETE)
        if any(other.params == settings and other.number < trial.number for other in other_trials):
            raise optuna.TrialPruned  # another process trains it, or it is complete
        return _train(study, data, trial, settings)

    with study.storage.with_suffix(".log").open("a", buffering=1) as log, redirect_stderr(log):
        while _has_remaining(study, trials, started):
            trials.optimize(train, n_trials=1)


def _has_remaining(study: Study, trials: optuna.Study, started: datetime) -> bool:
    """Tell whether a combination is neither complete nor tried since ``started``."""
    done = trials.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    covered = {tuple(trial.params.values()) for trial in (*done, *_started_since(trials, started, *TrialState))}
    return len(covered) < study.size


def _started_since(trials: optuna.Study, started: datetime, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
    """Return the trials since ``started``; older ones may be interrupted."""
    found = trials.get_trials(deepcopy=False, states=states)
    return [trial for trial in found if trial.datetime_start and trial.datetime_start >= started]


def _train(study: Study, data: DataSet, trial: optuna.Trial, combination: Settings) -> float:
    """Train one combination, store its run, and return its validation accuracy."""
    question, settings = study.question, dict(combination)
    seed = int(settings.pop(SEED))
    trainer = make_trainer(question.model, question.vary(study.recipe, settings), data, seed=seed, device=study.device)
    fit = trainer.run(stopped=lambda: False, after_epoch=lambda: None)
    assert fit
    test = data.test.to(study.device)
    run = StudyRun(
        settings=settings,
        seed=seed,
        val_accuracy=round(fit.best.val_accuracy, DIGITS),
        test_accuracy=compute_accuracy(predict_logits(trainer.network, test.images), test.labels),
        seconds=round(fit.seconds, 1),
        hardware=describe_hardware(study.device),
        git_commit=git_commit(),
        history=[{name: round(value, DIGITS) for name, value in asdict(epoch).items()} for epoch in fit.history],
    )
    trial.set_user_attr("run", asdict(run))
    return run.val_accuracy


def _suggest(question: Question, trial: optuna.Trial, name: str) -> float:
    value: float = trial.suggest_categorical(name, question.grid[name])
    return value


def write_runs(path: Path, runs: Sequence[StudyRun]) -> None:
    """Write runs, one JSON line each."""
    path.write_text("".join(json.dumps(asdict(run)) + "\n" for run in runs))


def read_runs(path: Path) -> list[StudyRun]:
    """Read the file of :func:`write_runs`."""
    return [StudyRun(**json.loads(line)) for line in path.read_text().splitlines()]
