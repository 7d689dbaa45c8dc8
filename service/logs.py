"""Log configuration of the service: plain text on a terminal, otherwise JSON."""

import json
import logging.config
import sys
from typing import Literal

BENTOML_LOGGERS = ("bentoml", "circus", "uvicorn.error")  # those with handlers of their own
DATE_FORMAT = "%Y-%m-%dT%H:%M:%S%z"
_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """JSON formatter; the ``extra`` fields of a record are included."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line of JSON."""
        line = {
            "time": self.formatTime(record, DATE_FORMAT),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(log_format: Literal["auto", "text", "json"]) -> None:
    """Log everything to standard error in one format, and disable uvicorn's access log.

    This replaces the handlers that BentoML installs in the supervisor and in each worker. Its levels stay.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    text = {"format": "%(asctime)s [%(levelname)s] %(message)s", "datefmt": DATE_FORMAT}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"ours": {"()": JsonFormatter} if as_json else text},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours"}},
            "root": {"handlers": ["stderr"]},
            "loggers": {
                "classifier": {"level": "INFO"},
                **{name: {"handlers": [], "propagate": True} for name in BENTOML_LOGGERS},
                # otherwise it formats every request although there is no handler
                "uvicorn.access": {"handlers": [], "propagate": False},
            },
        }
    )
