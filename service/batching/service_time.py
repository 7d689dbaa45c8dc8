"""How fast the queue of a model moves, learned from its batches: what a request that joins it will wait."""

from service.batching.job import Batch

_NEWEST = 0.1  # weight of the last batch


class ServiceTimeEstimator:
    """The seconds that each image of a long queue takes, of late."""

    def __init__(self, seconds_per_image: float, *, max_batch_size: int, concurrency: int) -> None:
        """Begin with what was planned: the time of an image in a full batch, of which ``concurrency`` run at once."""
        self.seconds_per_image = seconds_per_image / concurrency
        self._max_batch_size = max_batch_size
        self._streams = concurrency
        self._last: Batch | None = None  # that left the queue

    def on_batch_start(self, batch: Batch, *, others_wait: bool) -> None:
        """Take note of a batch that begins; ``others_wait``: for any stream to be free.

        While others wait, what counts is the time between two batches: the event loop has requests to read and to
        refuse besides.
        """
        if self._last is not None and self._last.left_others:
            self._learn((batch.taken - self._last.taken) / self._last.count)
        batch.left_others, self._last = others_wait, batch

    def reset(self) -> None:
        """Forget the last batch: nobody waits any more, or it failed; what comes next says nothing of its time."""
        self._last = None

    def on_batch_done(self, batch: Batch, finished: float) -> None:
        """Take note of a batch that nobody waited behind: its own time is all there is to learn from.

        Images of a long queue go in full batches. In a small one an image costs more, if anything: that it costs less
        is news, without which one stall would leave too short a queue for a full batch ever to come and say so.
        """
        seconds_per_image = (finished - batch.taken) / batch.count / self._streams
        is_full = batch.count == self._max_batch_size
        if not batch.left_others and (is_full or seconds_per_image < self.seconds_per_image):
            self._learn(seconds_per_image)

    def _learn(self, seconds_per_image: float) -> None:
        self.seconds_per_image += (seconds_per_image - self.seconds_per_image) * _NEWEST
