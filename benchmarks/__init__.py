"""Benchmarks of the service, its peers and the training, on the local machine."""
