"""The recipe table of the model card: settings and the sources of their methods."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from training.recipes.recipe import Recipe

MAIN_SETTINGS = {
    "epochs",
    "batch_size",
    "optimizer",
    "lr",
    "weight_decay",
    "drop_rate",
    "label_smoothing",
}  # shown with any value
SOURCES = {
    "optimizer adam": "Kingma and Ba 2015",
    "optimizer adamw": "Loshchilov and Hutter 2019",
    "optimizer muon": "Jordan 2024, with AdamW for the first and last layer",
    "optimizer sgd": "Nesterov's momentum, Sutskever et al. 2013",
    "schedule triangular": "Smith and Topin 2018",
    "schedule one-cycle": "Smith and Topin 2018",
    "activation leaky_relu": "Maas et al. 2013",
    "activation gelu": "Hendrycks and Gimpel 2016",
    "batch_norm": "Ioffe and Szegedy 2015",
    "bias_lr_factor": "Page 2019",
    "lookahead": "Zhang et al. 2019, with airbench's schedule",
    "drop_rate": "Srivastava et al. 2014",
    "label_smoothing": "Szegedy et al. 2016",
    "depth 3": "residual, He et al. 2015",
    "teacher": "Hinton et al. 2015; on a CPU, the int8 file of the teacher if it has one",
    "logit_matching": "Ba and Caruana 2014",
    "outlier_exposure": "Hendrycks et al. 2019; by energy, Liu et al. 2020",
    "strength_discount": "after Zhang and Xiang 2023",
    "hardest": "airbench, Jordan 2024",
    "whitening_epsilon": "5e-4 in airbench",
    "flip": "alternating, Jordan 2024",
    "cutout": "DeVries and Taylor 2017",
    "elastic": "Simard et al. 2003",
}


def describe_recipe(recipe: Recipe) -> str:
    """Render the settings that differ from their defaults, and those in ``MAIN_SETTINGS``."""
    settings, defaults = asdict(recipe), asdict(Recipe(epochs=0))
    settings |= settings.pop("augmentation")
    defaults |= defaults.pop("augmentation")
    return "\n".join(
        _rows({name: value for name, value in settings.items() if name in MAIN_SETTINGS or value != defaults[name]})
    )


def _rows(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        source = (SOURCES.get(name) or SOURCES.get(f"{name} {value}", "")) if value else ""
        yield f"| {name} | {value} | {source} |"
