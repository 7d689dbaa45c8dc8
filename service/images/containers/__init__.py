"""Image files as containers: each is walked once, and only what the pixels need is decoded.

Pillow parses metadata in Python, some of it in quadratic time. Each module here reads the structure of one format
within a budget of blocks. It finds the size, the orientation and the cost of decoding, and leaves out all other
metadata.
"""
