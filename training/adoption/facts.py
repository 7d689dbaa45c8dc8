"""Facts about a classifier that its graph or the options state, each with its origin.

Nothing is guessed: a fact that neither states is an error that names the option.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.card import Interpolation, Preparation
from training.adoption.source import AdoptionError, Source

Layout = Literal["nchw", "nhwc", "nhw"]
Output = Literal["logits", "probabilities"]
Channels = tuple[float, ...]  # one value per channel

CHANNEL_AXIS: dict[Layout, int] = {"nchw": 1, "nhwc": 3}
LARGEST_UNIT_MEAN, LARGEST_UNIT_STD = 1.0, 2.0  # of pixels from 0 to 1; a std of 1 or 2 leaves them as they are


@dataclass(frozen=True, kw_only=True)
class AdoptionOptions:
    """What the user states about a file; None if it is not stated."""

    name: str
    labels: Path | None = None
    preparation: Preparation | None = None
    side: int | None = None
    interpolation: Interpolation | None = None
    size: tuple[int, int] | None = None  # (H, W)
    scale: int | None = None  # 1 or 255
    mean: Channels | None = None
    std: Channels | None = None
    layout: Layout | None = None
    output: Output | None = None
    output_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A fact for the user to check."""

    name: str
    value: str
    origin: str


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """Input of the source, and how pixels become it."""

    layout: Layout
    height: int
    width: int
    channels: int  # 1 or 3
    dtype: str  # of the source's input
    scale: int = 255  # largest pixel value before mean and std
    mean: Channels = ()  # subtracted; empty: nothing
    std: Channels = ()  # divisor after the mean; empty: nothing

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Return the shape of an image of the adopted model."""
        return (self.height, self.width, 3) if self.channels == 3 else (self.height, self.width)

    def facts(self, source: Source, options: AdoptionOptions) -> list[Fact]:
        """Return every fact with its origin."""
        graph = f"graph, input {source.input_name} {_describe(source)}"
        layout = "--layout" if options.layout else graph
        size = f"{self.width} x {self.height} pixels, {'colour' if self.channels == 3 else 'grey'}"
        facts = [
            Fact(name="type", value=self.dtype, origin=graph),
            Fact(name="layout", value=self.layout.upper(), origin=layout),
            Fact(name="size", value=size, origin="--size" if options.size else graph),
        ]
        if self.dtype != "uint8":
            facts += [
                Fact(name="pixels", value=f"0 to {self.scale}", origin="--scale"),
                Fact(name="mean", value=_numbers(self.mean), origin="--mean"),
                Fact(name="std", value=_numbers(self.std), origin="--std"),
            ]
        return facts


def find_missing(source: Source, options: AdoptionOptions) -> list[str]:
    """Return the options that are missing, with their meaning."""
    needed: dict[str, object] = {
        "--labels FILE (class names, one per line)": options.labels,
        "--preparation center-crop or squash (how a picture gets the size of the input)": options.preparation,
        "--interpolation (of the resize)": options.interpolation,
    }
    if options.preparation == "center-crop":
        needed["--side (shorter side in pixels before the crop)"] = options.side
    if source.input_dtype != "uint8":
        needed["--scale 1 or 255 (the largest pixel value before mean and std)"] = options.scale
        needed["--mean (per channel; 0 for none)"] = options.mean
        needed["--std (per channel; 1 for none)"] = options.std
    return [option for option, value in needed.items() if value is None]


def find_input_format(source: Source, options: AdoptionOptions) -> InputFormat:
    """Return the input format, from the graph and the options.

    Raises:
        AdoptionError: a fact is missing, or the options contradict the graph or each other.
    """
    if missing := find_missing(source, options):
        raise AdoptionError(f"neither {source.path.name} nor an option states: {'; '.join(missing)}")
    layout = _find_layout(source, options.layout)
    channels = _find_channels(source, layout, options.mean)
    height, width = _find_size(source, layout, options.size)
    found = InputFormat(layout=layout, height=height, width=width, channels=channels, dtype=source.input_dtype)
    if source.input_dtype == "uint8":
        for option in ("scale", "mean", "std"):
            if getattr(options, option) is not None:
                raise AdoptionError(f"--{option}: {source.path.name} takes uint8 pixels, which are not normalized")
        return found
    assert options.scale is not None  # find_missing
    mean = _per_channel("--mean", options.mean or (), channels)
    std = _per_channel("--std", options.std or (), channels)
    check_statistics(options.scale, mean, std)
    return InputFormat(**{**vars(found), "scale": options.scale, "mean": mean, "std": std})


def check_statistics(scale: int, mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse statistics of pixels from 0 to 255 with ``--scale 1``, and the reverse.

    Raises:
        AdoptionError: the statistics contradict the scale, or a std is not positive.
    """
    if min(std) <= 0:
        raise AdoptionError(f"--std: expected positive numbers, got {_numbers(std)}")
    of_units = max(mean) <= LARGEST_UNIT_MEAN and max(std) <= LARGEST_UNIT_STD
    is_identity = set(mean) == {0} and set(std) == {1}
    if scale == 1 and not of_units:
        found, other = "pixels from 0 to 255", 255
    elif scale == 255 and of_units and not is_identity:
        found, other = "pixels from 0 to 1", 1
    else:
        return
    raise AdoptionError(
        f"--scale {scale}: mean {_numbers(mean)} and std {_numbers(std)} are statistics of {found}; use --scale {other}"
    )


def _find_layout(source: Source, stated: Layout | None) -> Layout:
    shape = source.input_shape
    if len(shape) == 3:
        if stated is not None:
            raise AdoptionError(f"--layout {stated}: the input {_describe(source)} has no channel axis")
        return "nhw"
    possible: list[Layout] = [layout for layout, axis in CHANNEL_AXIS.items() if shape[axis] in {1, 3, None}]
    if not possible:
        raise AdoptionError(f"{source.path.name}: expected 1 or 3 channels in the input {_describe(source)}")
    if stated is not None:
        if stated not in possible:
            raise AdoptionError(f"--layout {stated}: the input {_describe(source)} has another layout")
        return stated
    certain = [layout for layout in possible if shape[CHANNEL_AXIS[layout]] is not None]
    if len(possible) > 1 and len(certain) != 1:
        raise AdoptionError(
            f"{source.path.name}: the input {_describe(source)} may be NCHW or NHWC; state it with --layout"
        )
    return (certain or possible)[0]


def _find_channels(source: Source, layout: Layout, mean: Channels | None) -> int:
    channels = 1 if layout == "nhw" else source.input_shape[CHANNEL_AXIS[layout]]
    if channels is None and mean is not None:
        channels = len(mean)
    if channels not in {1, 3}:
        raise AdoptionError(f"{source.path.name}: the input {_describe(source)} does not state 1 or 3 channels")
    return channels


def _find_size(source: Source, layout: Layout, stated: tuple[int, int] | None) -> tuple[int, int]:
    first = 2 if layout == "nchw" else 1
    sides = source.input_shape[first : first + 2]
    if stated is None:
        if None in sides:
            raise AdoptionError(
                f"{source.path.name}: the input {_describe(source)} has no fixed size; state it with --size H W"
            )
        stated = (sides[0] or 0, sides[1] or 0)
    if any(side not in {None, wanted} for side, wanted in zip(sides, stated, strict=True)):
        raise AdoptionError(f"--size {stated[0]} {stated[1]}: the input {_describe(source)} has another size")
    return stated


def _per_channel(option: str, values: Channels, channels: int) -> Channels:
    if len(values) not in {1, channels}:
        raise AdoptionError(f"{option}: expected {channels} numbers, one per channel, got {len(values)}")
    return values * channels if len(values) == 1 else values


def _describe(source: Source) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in source.input_shape)})"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
