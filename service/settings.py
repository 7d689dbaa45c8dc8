"""What an operator may set: environment variables with the prefix ``CLASSIFIER_``, read once at the start."""

import os
import re
from pathlib import Path
from typing import Literal

from pydantic import DirectoryPath, Field, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

import models

MIB = 1024 * 1024
API_VERSION = "1"
MAX_IMAGES = 256  # in a call of classify-batch
METRICS_DIR, SERVING_PLANS = "CLASSIFIER_METRICS_DIR", "CLASSIFIER_SERVING_PLANS"  # to the workers, not settings
_KUBERNETES = re.compile(r"CLASSIFIER_(SERVICE_|PORT)")  # what it sets in every pod beside a Service named classifier


class SettingsError(ValueError):
    """A variable has a value that is not allowed; the message names variable, value and rule."""


class Settings(BaseSettings):
    """The service's settings; each description is what README's table prints."""

    model_config = SettingsConfigDict(env_prefix="CLASSIFIER_", frozen=True)

    models_dir: DirectoryPath = Field(
        default=Path(models.__file__).parent, description="folder of `NAME/VERSION/model.onnx`"
    )
    device: Literal["auto", "cuda", "cpu"] = Field(
        default="auto",
        description="`cuda` refuses to start without a working GPU; `auto` falls back to the CPU, and leaves to it "
        "what it answers within a millisecond a batch",
    )
    precision: Literal["auto", "float32", "int8"] = Field(
        default="auto",
        description="`auto` serves a model's int8 file on the CPU, its float16 file on a GPU, where that is the faster "
        "one; `int8` on the CPU wherever there is one",
    )
    workers: PositiveInt | None = Field(
        default=None, description="processes that share the port; unset: one a GPU, or one a CPU core"
    )
    max_batch_size: PositiveInt = Field(
        default=64, description="images in one run of a model; on the CPU no more than it runs in 20 ms"
    )
    max_queue: PositiveInt = Field(
        default=1024,
        description="requests that wait for a model, and images of the large ones, a worker; no more than fill "
        "two batches while it overflows",
    )
    max_wait_ms: PositiveInt = Field(
        default=125, description="a request that would wait longer for its turn at a model gets 503"
    )
    max_body_bytes: PositiveInt = Field(default=10 * MIB, description="largest image, in bytes")
    max_batch_body_bytes: PositiveInt = Field(default=64 * MIB, description="largest body of classify-batch, in bytes")
    max_pixels: PositiveInt = Field(default=50_000_000, description="largest image, in pixels")
    deadline_ms: PositiveInt = Field(default=10_000, description="a request not answered by then gets 504")
    body_timeout_ms: PositiveInt = Field(default=10_000, description="a head or a body not received by then gets 408")
    drain_ms: PositiveInt = Field(default=10_000, description="time that requests in flight get on SIGTERM")
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto", description="`auto`: text on a terminal, JSON elsewhere"
    )
    access_log: bool = Field(default=False, description="one log line a request")


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: naming each variable that is wrong, its value and the rule it breaks; or that is no setting.
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
