"""The bytes of all request bodies that a worker holds at once."""

from service.problems import Overloaded


class UploadBudget:
    """A counter with a limit: bodies take bytes as they arrive and release them when they are done."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def take(self, count: int) -> None:
        """Count ``count`` bytes more.

        Raises:
            Overloaded: more than the limit is held; the bytes are counted all the same, until they are released.
        """
        self.held += count
        if self.held > self.limit:
            raise Overloaded(f"uploads of over {self.limit} bytes are being worked on; try again later")

    def release(self, count: int) -> None:
        """Count ``count`` bytes less."""
        self.held -= count
