"""Studies of the course and its networks in NumPy."""
