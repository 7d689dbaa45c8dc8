"""The command ``python -m training adopt``."""

import argparse
from pathlib import Path
from typing import get_args

from models.card import MAX_SIDE, Interpolation
from training.adoption.adopting import adopt, examine
from training.adoption.facts import AdoptionOptions
from training.cli.options import Commands, whole_number

DESCRIPTION = """\
Make a served model, models/NAME/<next version>/, of an ONNX image classifier from another project. Nothing is guessed:
the command prints every fact with its origin, and names the option of a fact that the file does not state.
"""
EPILOG = """\
example, a ResNet-18 of torchvision:
  python -m training adopt resnet18.onnx --name resnet18 --labels imagenet.txt \\
      --preparation center-crop --side 256 --interpolation bilinear \\
      --scale 1 --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225

exit codes: 0 published; 1 nothing published, the reason is printed in one line; 2 wrong usage
"""


def add_adopt(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "adopt",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="serve an ONNX classifier from another project",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.set_defaults(run=_adopt)
    add, side = parser.add_argument, whole_number(1, MAX_SIDE)
    add("file", type=Path, metavar="FILE.onnx", help="with its external data next to it, if it has any")
    add("--name", dest="model", required=True, metavar="NAME", help="of the served model")
    add("--labels", type=Path, metavar="FILE", help="class names: one per line, or in a .json file a list or id2label")
    add("--preparation", choices=("center-crop", "squash"), help="resize and crop, or resize to the input's size")
    add("--side", type=side, metavar="S", help="center-crop: shorter side of the picture before the crop, in pixels")
    add("--interpolation", choices=get_args(Interpolation), help="of the resize (antialiased)")
    add("--size", type=side, nargs=2, metavar=("H", "W"), help="of the input, if the graph does not fix it")
    add("--scale", type=int, choices=(1, 255), help="largest pixel value before mean and std")
    add("--mean", type=float, nargs="+", metavar="M", help="subtracted from the pixels: one number, or one per channel")
    add("--std", type=float, nargs="+", metavar="D", help="divisor after the mean: one number, or one per channel")
    add("--layout", choices=("nchw", "nhwc"), help="of the input, if the graph's shape leaves it open")
    add("--output", choices=("logits", "probabilities"), help="kind of the output (default: found by running it)")
    add("--output-name", metavar="NAME", help="of a graph with several outputs")
    add("--out", type=Path, help="folder to publish to (default models/)")


def _adopt(_parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    adoption = examine(
        options.file,
        AdoptionOptions(
            name=options.model,
            labels=options.labels,
            preparation=options.preparation,
            side=options.side,
            interpolation=options.interpolation,
            size=tuple(options.size) if options.size else None,
            scale=options.scale,
            mean=tuple(options.mean) if options.mean else None,
            std=tuple(options.std) if options.std else None,
            layout=options.layout,
            output=options.output,
            output_name=options.output_name,
        ),
    )
    for fact in adoption.facts:
        print(f"{fact.name}: {fact.value} ({fact.origin})", flush=True)
    result = adopt(adoption, out=options.out or options.models_dir)
    print(f"{result.batches.name}: {result.batches.value} ({result.batches.origin})")
    print(f"published {result.folder}: probabilities within {result.difference:.1e} of {options.file.name}")
    return 0
