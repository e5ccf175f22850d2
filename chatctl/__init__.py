"""Group chat in terminals over plain TCP."""

__version__ = "1.1.0.dev0"
