"""The command line: classify and score, on this machine or on a server."""
