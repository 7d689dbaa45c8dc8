"""The networks and their initialization."""
