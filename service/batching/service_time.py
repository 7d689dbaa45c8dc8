"""Estimate of the time per image in a model's queue."""

from service.batching.job import Batch

_NEWEST = 0.1  # weight of the newest batch


class ServiceTimeEstimator:
    """Exponentially weighted estimate of seconds per image while requests wait."""

    def __init__(self, seconds_per_image: float, *, max_batch_size: int, concurrency: int) -> None:
        """Set the initial estimate.

        Args:
            seconds_per_image: of a full batch, as measured at start.
            max_batch_size: images per full batch.
            concurrency: batches at once.
        """
        self.seconds_per_image = seconds_per_image / concurrency
        self._max_batch_size = max_batch_size
        self._concurrency = concurrency
        self._last: Batch | None = None  # the batch that left the queue last

    def on_batch_start(self, batch: Batch, *, others_wait: bool) -> None:
        """Record the start of a batch.

        ``others_wait``: whether requests wait for a free buffer. While they wait, the time between two batches counts,
        because it includes the other work of the event loop.
        """
        if self._last is not None and self._last.left_others:
            self._learn((batch.taken - self._last.taken) / self._last.count)
        batch.left_others, self._last = others_wait, batch

    def reset(self) -> None:
        """Discard the last batch.

        After an empty queue or a failed batch, the next interval is not a service time.
        """
        self._last = None

    def on_batch_done(self, batch: Batch, finished: float) -> None:
        """Record the time of a batch behind which no request waited.

        Images cost more in small batches than in full ones, so a small batch may only lower the estimate. Without that,
        the estimate could stay too high after one stall: the queue would never fill a batch again.
        """
        seconds_per_image = (finished - batch.taken) / batch.count / self._concurrency
        is_full = batch.count == self._max_batch_size
        if not batch.left_others and (is_full or seconds_per_image < self.seconds_per_image):
            self._learn(seconds_per_image)

    def _learn(self, seconds_per_image: float) -> None:
        self.seconds_per_image += (seconds_per_image - self.seconds_per_image) * _NEWEST
