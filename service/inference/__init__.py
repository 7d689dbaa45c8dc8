"""Processing of one request by a worker, independent of the protocol."""
