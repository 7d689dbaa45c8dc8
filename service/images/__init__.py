"""Image files: bytes to pixels, with limits on costly files."""
