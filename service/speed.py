"""How fast a model runs on this machine, and so how large its batches may be."""

from service.classifier import OnnxClassifier

BATCH_S = 0.02  # of a batch on the CPU, at most, where it has several images
TIMING_S, MAX_TIMED_RUNS = 0.005, 20


def measure_batch(classifier: OnnxClassifier, max_batch_size: int) -> tuple[int, float]:
    """Return the largest batch size to use and the seconds that it takes.

    On a GPU that is ``max_batch_size``. On the CPU a batch is no cheaper an image beyond a few, and whoever comes next
    waits for its end: it is the size that takes BATCH_S, if that is less.
    """
    if classifier.device == "cuda":
        return max_batch_size, time_batch(classifier, max_batch_size)
    few = min(max_batch_size, 8)
    classifier.run_blank(few)
    seconds_per_image = time_batch(classifier, few) / few
    if (size := max(1, int(BATCH_S / seconds_per_image))) < max_batch_size:
        return size, size * seconds_per_image
    return max_batch_size, time_batch(classifier, max_batch_size)  # threads to wake made much of the few's time


def time_batch(classifier: OnnxClassifier, count: int) -> float:
    """Time some runs, of a cheap model more: a start is a busy moment, and what disturbs one decides for good."""
    if classifier.device == "cuda":
        classifier.run_blank(count)  # opens a session for the size, and would end the timing after one more
    times = [classifier.run_blank(count), classifier.run_blank(count)]
    while sum(times) < TIMING_S and len(times) < MAX_TIMED_RUNS:
        times.append(classifier.run_blank(count))
    return min(times)
