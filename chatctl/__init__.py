"""Group chat in terminals over plain TCP."""

__version__ = "0.1.0"
