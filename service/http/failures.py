"""The problem that a client gets for an error, whatever handled its request."""

import logging

from service.batching.job import DeadlinePassed, ModelFailed
from service.problems import DeadlineExceeded, InternalError, Problem

CLIENT_LEFT = 499  # the status that nginx uses; in logs and metrics only

logger = logging.getLogger("classifier")


def find_problem(error: Exception, *, request_id: bytes, deadline_s: float) -> Problem:
    """Return the problem for an error, and log it if it is a fault of the service."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, DeadlinePassed):
        return DeadlineExceeded(f"no prediction within {deadline_s:g} s; send fewer or smaller images, or retry later")
    if isinstance(error, ModelFailed):  # the batcher has logged the traceback
        logger.warning("request %s failed with its batch", request_id.decode())
    else:
        logger.error("request %s failed", request_id.decode(), exc_info=error)
    return InternalError(request_id.decode())
