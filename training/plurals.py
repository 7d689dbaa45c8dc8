"""Counts in messages, with the noun in the singular or the plural."""


def describe_count(count: int, noun: str) -> str:
    """Format a count with its noun, as in `1 image` and `1,000 images`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
