"""Limit on the bytes of all request bodies that a worker holds at once."""

from service.problems import RETRY_AFTER_S, Overloaded


class UploadBudget:
    """Counts the bytes of request bodies from arrival until ``release``."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def take(self, count: int) -> None:
        """Add ``count`` bytes.

        Raises:
            Overloaded: the total exceeds the limit; the bytes still count until ``release``.
        """
        self.held += count
        if self.held > self.limit:
            raise Overloaded(
                f"upload limit reached: {self.held} bytes of request bodies (limit {self.limit}); "
                f"retry after {RETRY_AFTER_S} s"
            )

    def release(self, count: int) -> None:
        """Subtract ``count`` bytes."""
        self.held -= count
