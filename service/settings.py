"""Settings of the service.

Settings are environment variables with the prefix ``CLASSIFIER_``, read once at start.
"""

import os
import re
from pathlib import Path
from typing import Literal

from pydantic import DirectoryPath, Field, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

import models

MIB = 1024 * 1024
API_VERSION = "1"
MAX_IMAGES = 256  # per request of classify-batch
METRICS_DIR, SERVING_PLANS = "CLASSIFIER_METRICS_DIR", "CLASSIFIER_SERVING_PLANS"  # set for the workers; not settings
# Kubernetes sets these in every pod of a namespace with a Service named classifier.
_KUBERNETES = re.compile(r"CLASSIFIER_(SERVICE_|PORT)")


class SettingsError(ValueError):
    """A variable is unknown or has an invalid value."""


class Settings(BaseSettings):
    """The settings; docs/reference/settings.md prints their descriptions."""

    model_config = SettingsConfigDict(env_prefix="CLASSIFIER_", frozen=True)

    models_dir: DirectoryPath = Field(
        default=Path(models.__file__).parent, description="folder of `NAME/VERSION/model.onnx`"
    )
    device: Literal["auto", "cuda", "cpu"] = Field(
        default="auto",
        description="`auto`: the GPU if there is one, except for models whose full batch takes under 1 ms on the CPU; "
        "`cuda`: the GPU for every model, without a GPU the start fails; `cpu`: the CPU",
    )
    precision: Literal["auto", "float32", "int8"] = Field(
        default="auto",
        description="`auto`: the int8 file on the CPU or the float16 file on a GPU, if the model has one, it is faster "
        "on this machine and it passes its golden check; `int8`: the int8 file on the CPU, if the model has one; "
        "`float32`: always the float32 file",
    )
    workers: PositiveInt | None = Field(
        default=None, description="worker processes that share the port; unset: one per GPU, or one per CPU core"
    )
    max_batch_size: PositiveInt = Field(
        default=64, description="largest number of images per batch; on the CPU at most what the model runs in 20 ms"
    )
    max_queue: PositiveInt = Field(
        default=1024,
        description="largest queue per model and worker: number of requests, and number of images if a request has "
        "several; two batches during overload",
    )
    max_wait_ms: PositiveInt = Field(
        default=125, description="a request whose expected wait in the queue is longer gets 503"
    )
    max_body_bytes: PositiveInt = Field(default=10 * MIB, description="largest image, in bytes")
    max_batch_body_bytes: PositiveInt = Field(default=64 * MIB, description="largest body of a batch request, in bytes")
    max_pixels: PositiveInt = Field(default=50_000_000, description="largest image, in pixels")
    deadline_ms: PositiveInt = Field(
        default=10_000, description="a prediction that takes longer, from the end of the body, gets 504"
    )
    body_timeout_ms: PositiveInt = Field(
        default=10_000,
        description="a body of which nothing arrives for this long, or a header section that takes longer, gets 408",
    )
    drain_ms: PositiveInt = Field(default=10_000, description="time for requests in flight to finish after SIGTERM")
    cors_origins: str = Field(
        default="",
        description="origins of web pages that may call the service from a browser, such as `https://a.example`, "
        "separated by commas; `*`: every origin",
    )
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto", description="`auto`: text on a terminal, JSON elsewhere"
    )
    access_log: bool = Field(default=False, description="write one log line per request")


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a variable has an invalid value or is not a setting.
    """
    names = {f"CLASSIFIER_{name.upper()}" for name in Settings.model_fields}
    unknown = {name for name in os.environ if name.startswith("CLASSIFIER_")} - names - {METRICS_DIR, SERVING_PLANS}
    if strange := sorted(name for name in unknown if not _KUBERNETES.match(name)):
        raise SettingsError(f"{', '.join(strange)}: no such setting, expected one of {', '.join(sorted(names))}")
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"CLASSIFIER_{str(e['loc'][0]).upper()}={e['input']}: {e['msg'].lower()}" for e in error.errors()]
        raise SettingsError("; ".join(wrong)) from None
