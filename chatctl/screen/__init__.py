"""A line that is edited at the bottom of a terminal, under what comes in."""

import os

_NO_CURSOR = {"", "dumb", "unknown"}  # values of TERM: a line on those cannot be drawn anew


def can_draw(term: str) -> bool:
    """Whether a terminal can show a line that is edited; ``term`` is the environment's TERM."""
    return term not in _NO_CURSOR


def in_background(descriptor: int) -> bool:
    """Whether the controlling terminal is somebody else's now; one that is gone, or controls nobody, is nobody's."""
    try:
        return os.tcgetpgrp(descriptor) != os.getpgrp()
    except OSError:
        return False
