"""The limit of open descriptors, which is what limits how many connections a process has."""

import contextlib
import resource

from chatctl.errors import ResourceError

_OTHERS = 64  # standard streams, the event loop, files
_MACOS = 10_240  # what macOS allows where it says "unlimited" (OPEN_MAX in sys/syslimits.h)


def need(number: int, what: str) -> None:
    """Have enough descriptors for so many of something, and for what else a command opens.

    Raises:
        ResourceError: the limit cannot be raised so far.
    """
    wanted = number + _OTHERS
    if (most := raise_limit(wanted)) < wanted:
        raise ResourceError(f"{number} {what} need {wanted} descriptors, but {most} is the limit: ulimit -n")


def raise_limit(wanted: int) -> int:
    """Raise this process's limit of open descriptors to so many, if that can be; return how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        for limit in (wanted, _MACOS):
            new = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (max(new, soft), hard))
                break
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else soft
