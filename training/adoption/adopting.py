"""Adoption of an ONNX classifier: facts, graph, checks, and a published version."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import save

from models.card import AdoptedFile, ModelCard, ModelCardError, ResizeParameters
from models.contract import GOLDEN_FILE, MODEL_FILE, MODEL_NAME, newest_version
from training.adoption.facts import AdoptionOptions, Fact, InputFormat, Output, find_input_format
from training.adoption.graph import adopt_graph, can_scan, count_parameters
from training.adoption.labels import read_labels
from training.adoption.parity import (
    NUM_IMAGES,
    find_output,
    is_equal,
    largest_difference,
    random_images,
    run_source,
    to_probabilities,
)
from training.adoption.readme import render_readme
from training.adoption.source import AdoptionError, Source, read_source
from training.evaluation.gate import write_golden
from training.export.onnx_file import ExportError, predict_onnx, write_card
from training.pipeline.publishing import staged_version
from training.provenance import git_commit, library_versions
from training.reporting.report import read_card


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """A classifier that is ready to be written, with every fact about it."""

    source: Source
    image: InputFormat
    output: Output
    class_names: tuple[str, ...]
    resize: ResizeParameters
    options: AdoptionOptions
    images: NDArray[np.uint8]  # golden images
    probabilities: NDArray[np.float32]  # of the golden images, by the source
    facts: Sequence[Fact]


@dataclass(frozen=True, kw_only=True)
class AdoptionResult:
    """A published version."""

    folder: Path
    card: ModelCard
    difference: float  # largest difference of a probability to the source
    batches: Fact


def examine(path: Path, options: AdoptionOptions) -> Adoption:
    """Collect every fact about a classifier, without writing anything.

    Raises:
        AdoptionError: the file cannot be adopted, or a fact is missing or contradicts another.
    """
    if not MODEL_NAME.fullmatch(options.name):
        raise AdoptionError("--name: expected letters, digits, '.', '_' and '-', beginning with a letter or digit")
    source = read_source(path, output_name=options.output_name)
    image = find_input_format(source, options)
    assert options.labels is not None  # find_input_format refuses missing options
    assert options.preparation is not None
    resize = _resize_parameters(options)
    images = random_images(image.image_shape)
    scores = run_source(source, image, images)
    output, origin = find_output(scores, options.output)
    class_names = read_labels(options.labels, num_classes=scores.shape[1])
    side = f", shorter side {resize.side}" if resize.side else ""
    facts = [
        *image.facts(source, options),
        Fact(name="output", value=f"{source.output_name}, {output}", origin=origin),
        Fact(name="classes", value=_summarize(class_names), origin=options.labels.name),
        Fact(
            name="preparation",
            value=f"{options.preparation}{side}, {resize.interpolation}",
            origin="--preparation etc.",
        ),
        Fact(name="accuracy", value="not measured, not calibrated, no familiarity", origin="no data"),
    ]
    return Adoption(
        source=source,
        image=image,
        output=output,
        class_names=class_names,
        resize=resize,
        options=options,
        images=images,
        probabilities=to_probabilities(scores, output),
        facts=facts,
    )


def adopt(adoption: Adoption, *, out: Path) -> AdoptionResult:
    """Write, check and publish a classifier as ``out``/NAME/<next version>/.

    Raises:
        AdoptionError: the name belongs to a model with other classes, or the new file differs from its source.
        FolderError: the folder cannot be written to.
    """
    folder = out / adoption.options.name
    _check_name(folder, adoption.class_names)
    with staged_version(folder) as staged:
        path = staged.path / MODEL_FILE
        try:
            difference, one_by_one = _write_graph(path, adoption)
            card = _make_card(adoption, staged.version, count_parameters(adoption.source.model))
            write_card(path, card)
        except ExportError as error:
            raise AdoptionError(f"{adoption.source.path.name}: {error}") from error
        write_golden(staged.path / GOLDEN_FILE, adoption.images, predict_onnx(path, adoption.images))
        batches = _describe_batches(adoption.source, one_by_one=one_by_one)
        text = render_readme(card, [*adoption.facts, batches], size=path.stat().st_size / 1e6, difference=difference)
        (staged.path / "README.md").write_text(text, encoding="utf-8")
    return AdoptionResult(folder=staged.published_folder, card=card, difference=difference, batches=batches)


def _write_graph(path: Path, adoption: Adoption) -> tuple[float, bool]:
    """Write the graph; return its largest difference to the source, and whether it runs one image at a time."""
    source, failure = adoption.source, "it differs from its source"
    for one_by_one in (False, True) if can_scan(source) else (False,):
        try:
            model = adopt_graph(
                source,
                adoption.image,
                adoption.output,
                num_classes=len(adoption.class_names),
                one_by_one=one_by_one,
            )
            save(model, path)
            difference = largest_difference(path, adoption.images, adoption.probabilities)
        except Exception as error:  # of ONNX and ONNX Runtime, which share no other base class; a Scan may still work
            failure = str(error).partition("\n")[0]
            continue
        if is_equal(difference, source):
            return difference, one_by_one
        failure = f"its probabilities differ by {difference:.1e} from those of the source, one image at a time"
    raise AdoptionError(
        f"{source.path.name}: no graph for any batch size gives the source's probabilities: {failure}; export the "
        "network in evaluation mode, with a dynamic batch axis"
    )


def _make_card(adoption: Adoption, version: str, parameters: int) -> ModelCard:
    options, image = adoption.options, adoption.image
    assert options.preparation is not None
    settings = {
        "layout": image.layout,
        "dtype": image.dtype,
        "scale": image.scale,
        "mean": list(image.mean),
        "std": list(image.std),
        "output": adoption.output,
    }
    source = adoption.source
    return ModelCard(
        name=options.name,
        version=version,
        class_names=adoption.class_names,
        preparation=options.preparation,
        resize=adoption.resize,
        adopted=AdoptedFile(file=source.path.name, sha256=source.sha256, settings=settings),
        test=None,
        temperature=None,
        seed=None,
        parameters=parameters,
        multiply_adds=None,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        git_commit=git_commit(),
        libraries={name: version for name, version in library_versions().items() if name.startswith("onnx")},
    )


def _describe_batches(source: Source, *, one_by_one: bool) -> Fact:
    allowed = "any" if source.batch is None else str(source.batch)
    return Fact(
        name="batches",
        value="of any size, one image at a time" if one_by_one else "of any size",
        origin=f"graph, batch size {allowed}, and {NUM_IMAGES} random images",
    )


def _check_name(folder: Path, class_names: tuple[str, ...]) -> None:
    """Refuse a version of a model that has other classes."""
    newest = newest_version(folder)
    if newest is None:
        return
    try:
        known = read_card(newest / MODEL_FILE).class_names
    except (ModelCardError, OSError) as error:
        raise AdoptionError(f"{newest} is no published version ({error}); choose another --name") from error
    if known != class_names:
        raise AdoptionError(
            f"{newest} has other classes ({_summarize(known)}) than this file ({_summarize(class_names)}); choose "
            "another --name"
        )


def _resize_parameters(options: AdoptionOptions) -> ResizeParameters:
    assert options.interpolation is not None
    if options.preparation == "squash" and options.side is not None:
        raise AdoptionError("--side: squash has no shorter side; remove --side, or use --preparation center-crop")
    try:
        return ResizeParameters(side=options.side, interpolation=options.interpolation)
    except ModelCardError as error:
        raise AdoptionError(f"--{error}") from error


def _summarize(class_names: Sequence[str]) -> str:
    shown = ", ".join(class_names[:3])
    return f"{len(class_names)}: {shown}{', ...' if len(class_names) > 3 else ''}"
