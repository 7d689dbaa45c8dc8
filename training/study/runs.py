"""A study: every combination of some settings of a recipe, each with several seeds (training/study/questions.py).

Optuna's grid sampler hands the combinations out, and a storage file remembers them: several processes, or machines that
share the file, work on one study, and what was interrupted goes on with the runs that are left.
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
from training.fitting.prediction import predict_logits, share_correct
from training.pipeline.building import make_fitting
from training.provenance import git_commit
from training.recipes.recipe import Recipe
from training.study.questions import SEED, Question, Settings

POLL_S = 1.0
DIGITS = 5  # of what is kept of an epoch


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """One run of a study."""

    settings: Settings
    seed: int
    val_accuracy: float  # of the epoch that was kept, 0..1, as the next
    test_accuracy: float
    seconds: float
    hardware: str
    git_commit: str
    history: Sequence[Mapping[str, float]]  # of each epoch: training.fitting.history.Epoch


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a person asked for."""

    question: Question
    storage: Path
    data_dir: Path
    device: torch.device
    epochs: int | None  # None: the recipe's

    @property
    def size(self) -> int:
        """How many runs it has."""
        return math.prod(map(len, self.question.grid.values()))

    @property
    def recipe(self) -> Recipe:
        """What every run begins with."""
        recipe = self.question.recipe
        return replace(recipe, epochs=self.epochs or recipe.epochs, patience=self.epochs or recipe.epochs)

    def open(self) -> optuna.Study:
        """Open the storage file, or begin it; runs of another recipe or grid are another study's there."""
        self.storage.parent.mkdir(parents=True, exist_ok=True)
        asked = hashlib.sha256(repr((self.recipe, self.question.grid)).encode()).hexdigest()[:8]
        return optuna.create_study(
            study_name=f"{self.question.name}-{asked}",
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(self.storage))),
            sampler=optuna.samplers.GridSampler(self.question.grid, seed=0),
            direction="maximize",
            load_if_exists=True,
        )

    def finished(self, study: optuna.Study) -> list[StudyRun]:
        """Return every run that came to its end, one a combination, in the order of the grid."""
        grid, trials = self.question.grid, study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        runs = {tuple(trial.params[name] for name in grid): StudyRun(**trial.user_attrs["run"]) for trial in trials}
        return [runs[combination] for combination in itertools.product(*grid.values()) if combination in runs]


def run_study(study: Study, *, jobs: int) -> list[StudyRun]:
    """Train every combination that is left, so many at once, and return what is done; epochs are told in a log.

    Others who share the storage may still be training the rest.

    Raises:
        DataError: there are no images.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.question.model.load(study.data_dir)  # downloaded once, and an error is told before anything begins
    trials = study.open()
    _try_again(trials)
    total, done = study.size, study.finished(trials)
    with tqdm(
        total=total, initial=len(done), desc=f"study {study.question.name}", unit="run", dynamic_ncols=True
    ) as bar:
        if len(done) < total:
            with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
                begun = datetime.now()  # Optuna's are naive
                running = {pool.submit(_work, study, jobs, begun) for _ in range(jobs)}
                while running:
                    ended, running = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
                    bar.update(len(study.finished(trials)) - bar.n)
                    for worker in ended:
                        worker.result()
    return study.finished(trials)


def _try_again(study: optuna.Study) -> None:
    """Let combinations come once more that failed, or that were left to a run which then was interrupted."""
    trials = study.get_trials(deepcopy=False)
    again = (TrialState.FAIL, TrialState.PRUNED)  # the sampler takes them for done
    others = [trial.system_attrs.get("fixed_params", trial.params) for trial in trials if trial.state not in again]
    for trial in trials:
        if trial.state in again and trial.params not in others:
            attributes = {**trial.system_attrs, "fixed_params": trial.params}
            study.add_trial(optuna.trial.create_trial(state=TrialState.WAITING, system_attrs=attributes))
            others.append(trial.params)


def _work(study: Study, jobs: int, begun: datetime) -> None:
    """Train what the sampler hands out until nothing is left; one of the processes of a study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    keep_freed_memory()
    torch.set_num_threads(max(1, available_cores() // jobs))
    data, trials = study.question.model.load(study.data_dir), study.open()

    def train(trial: optuna.Trial) -> float:
        settings = {name: _choose(study.question, trial, name) for name in study.question.grid}
        others = _begun_since(trials, begun, TrialState.RUNNING, TrialState.COMPLETE)
        if any(other.params == settings and other.number < trial.number for other in others):
            raise optuna.TrialPruned  # two processes asked at once, or nothing but this was left
        return _train(study, data, trial, settings)

    with study.storage.with_suffix(".log").open("a", buffering=1) as log, redirect_stderr(log):
        while _is_any_left(study, trials, begun):
            trials.optimize(train, n_trials=1)


def _is_any_left(study: Study, trials: optuna.Study, begun: datetime) -> bool:
    """Tell whether there is a combination that nobody has trained, and nobody has begun to since then."""
    done = trials.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    tried = {tuple(trial.params.values()) for trial in (*done, *_begun_since(trials, begun, *TrialState))}
    return len(tried) < study.size


def _begun_since(trials: optuna.Study, begun: datetime, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
    """Return trials; one that has been running for longer may well have been interrupted."""
    found = trials.get_trials(deepcopy=False, states=states)
    return [trial for trial in found if trial.datetime_start and trial.datetime_start >= begun]


def _train(study: Study, data: DataSet, trial: optuna.Trial, combination: Settings) -> float:
    """Train one combination, keep what it gave with the trial, and return its validation accuracy."""
    question, settings = study.question, dict(combination)
    seed = int(settings.pop(SEED))
    fitting = make_fitting(question.model, question.vary(study.recipe, settings), data, seed=seed, device=study.device)
    fit = fitting.run(stopped=lambda: False, after_epoch=lambda: None)
    assert fit
    test = data.test.to(study.device)
    run = StudyRun(
        settings=settings,
        seed=seed,
        val_accuracy=round(fit.best.val_accuracy, DIGITS),
        test_accuracy=share_correct(predict_logits(fitting.network, test.images), test.labels),
        seconds=round(fit.seconds, 1),
        hardware=describe_hardware(study.device),
        git_commit=git_commit(),
        history=[{name: round(value, DIGITS) for name, value in asdict(epoch).items()} for epoch in fit.history],
    )
    trial.set_user_attr("run", asdict(run))
    return run.val_accuracy


def _choose(question: Question, trial: optuna.Trial, name: str) -> float:
    choice: float = trial.suggest_categorical(name, question.grid[name])
    return choice


def write_runs(path: Path, runs: Sequence[StudyRun]) -> None:
    """Keep runs, a line each."""
    path.write_text("".join(json.dumps(asdict(run)) + "\n" for run in runs))


def read_runs(path: Path) -> list[StudyRun]:
    """Read what :func:`write_runs` wrote."""
    return [StudyRun(**json.loads(line)) for line in path.read_text().splitlines()]
