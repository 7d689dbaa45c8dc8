"""Publish a classifier: export, measure and gate it in a hidden folder, then give it its version in one rename."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models.card import Metrics, ModelCard
from models.layout import MODEL_FILE
from training.data import Split
from training.export import CalibratedClassifier, export_onnx, predict_onnx, write_card
from training.folders import writable_folder
from training.gate import GateError, check_accuracy, check_golden, write_golden
from training.metrics import measure

NUM_GOLDEN = 16

CardMaker = Callable[[str, Metrics], ModelCard]  # from the version and what was measured on the test split
Describer = Callable[[Path, ModelCard], None]  # adds files for people to the folder


def publish(
    classifier: CalibratedClassifier,
    *,
    out: Path,
    name: str,
    test: Split,
    min_accuracy: float,
    make_card: CardMaker,
    describe: Describer = lambda _folder, _card: None,
) -> tuple[Path, ModelCard]:
    """Write ``out/name/<next version>/`` whole, or nothing.

    Args:
        classifier: is moved to the CPU and to evaluation mode.
        out: the repository of models.
        name: of the model.
        test: measured here, once, by the ONNX file itself.
        min_accuracy: of the ONNX file on ``test``, 0..1.
        make_card: makes the model card.
        describe: adds to the folder before it is published.

    Raises:
        FolderError: ``out/name/`` cannot be written to.
        ExportError: the file is not valid or differs from PyTorch.
        GateError: its golden images differ, its accuracy is too low, or the version exists by now.
    """
    images = test.images.cpu()
    with staged_version(out / name) as (folder, version):
        export_onnx(classifier, folder / MODEL_FILE, images)
        metrics = measure(predict_onnx(folder / MODEL_FILE, images.numpy()), test.labels.cpu().numpy())
        check_accuracy(metrics, min_accuracy)
        card = make_card(version, metrics)
        write_card(folder / MODEL_FILE, card)
        write_golden(folder, classifier, images[:NUM_GOLDEN])
        check_golden(folder)
        describe(folder, card)
    return out / name / version, card


@contextmanager
def staged_version(model_folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield a hidden folder and the version that it becomes; remove it if anything goes wrong."""
    with writable_folder(model_folder, option="--out"):
        version = next_version(model_folder)
        staging = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=model_folder))
        try:
            yield staging, version
            staging.chmod(0o755)  # mkdtemp's are for their owner alone
            _rename(staging, model_folder / version)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise


def next_version(model_folder: Path) -> str:
    """Return one more than the highest version, a folder whose name is all digits; the first is 1."""
    names = (entry.name for entry in model_folder.iterdir() if entry.is_dir())
    return str(max((int(name) for name in names if name.isascii() and name.isdigit()), default=0) + 1)


def _rename(staging: Path, folder: Path) -> None:
    if folder.exists():
        raise GateError(f"{folder} was published meanwhile, and a version never changes; run again for the next one")
    staging.rename(folder)
