"""Access log: one line per request, if ``CLASSIFIER_ACCESS_LOG`` is set."""

import logging

from service.http.request import Scope

logger = logging.getLogger("classifier.access")


def log_request(scope: Scope, *, request_id: bytes, status: int, seconds: float) -> None:
    """Log the method, the path, the status and the duration of a request."""
    path = scope["raw_path"].decode("latin-1")  # a decoded path could contain a line break
    extra = {"request_id": request_id.decode()}
    logger.info("%s %s %d %.1f ms", scope["method"], path, status, seconds * 1e3, extra=extra)
