"""A line that is edited at the bottom of a terminal, under what comes in."""
