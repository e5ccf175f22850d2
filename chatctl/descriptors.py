"""The limit of open descriptors, which is what limits how many connections a process has."""

import contextlib
import resource

_MACOS = 10_240  # what macOS allows where it says "unlimited" (OPEN_MAX in sys/syslimits.h)


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
