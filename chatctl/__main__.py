"""The program: ``chatctl`` and ``python -m chatctl``."""

import os
import sys


def main() -> None:
    """Run the command line; an interrupt before a command is at work ends it quietly."""
    try:
        _fill_standard_streams()
        from chatctl.cli import cli

        cli(prog_name="chatctl")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        _let_go()


def _fill_standard_streams() -> None:
    """Open what was closed (``2>&-``): a socket that took such a number would be written to as the screen."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _let_go() -> None:
    """Have what is left for an output that is gone go nowhere: to fail at that would be Python's status, 120."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
