"""Access log: one line per request, if ``CLASSIFIER_ACCESS_LOG`` is set."""

import logging

logger = logging.getLogger("classifier.access")


def log_request(method: str, raw_path: bytes, *, request_id: bytes, status: int, seconds: float) -> None:
    """Log a request; ``raw_path`` is percent-encoded, because a decoded path could contain a line break."""
    extra = {"request_id": request_id.decode()}
    logger.info("%s %s %d %.1f ms", method, raw_path.decode("latin-1"), status, seconds * 1e3, extra=extra)
