"""Load against real servers on loopback, and what it cost."""
