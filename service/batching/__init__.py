"""One model's queue: batches, admission and the estimate of the wait."""
