"""The soak, see ``scripts/soak --help``."""
