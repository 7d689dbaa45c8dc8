"""A worker's work for one request, whatever the protocol."""
