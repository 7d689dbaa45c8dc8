"""The command line: classify and score, on this machine or by a server."""
