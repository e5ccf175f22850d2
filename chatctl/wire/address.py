"""Where a connection comes from, and how that is written for people."""

import contextlib
import re
from typing import Any, NamedTuple

_PLACE = re.compile(
    r"([0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?)"  # IPv6 without a port: two colons at least
    r"|(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([\w.-]+))(?::([0-9]{1,9}))?"
)


class Address(NamedTuple):
    """The host and the port of one side of a TCP connection.

    Its text is ``192.0.2.7:41002`` or ``[2001:db8::7]:41002``: what stands on the wire for a member without a name.
    """

    host: str
    port: int

    @classmethod
    def of(cls, found: Any) -> "Address":
        """What a socket says: an IPv4 address mapped into IPv6 is IPv4.

        Args:
            found: from ``accept``, ``getsockname`` or ``getpeername``; BSD knows none of a peer that has gone.
        """
        if not found:
            return cls("", 0)
        host, port, *_ = found
        if ":" in host:
            import ipaddress  # clients start without it

            if mapped := ipaddress.IPv6Address(host).ipv4_mapped:
                host = str(mapped)
        return cls(host, port)

    def __str__(self) -> str:
        if not self.host:
            return "somebody who has gone"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def host_and_port(text: str) -> tuple[str, int | None]:
    """What ``HOST:PORT`` or ``HOST`` says, as people write it; no port is None.

    An IPv6 address stands in brackets if a port follows, and may stand in them anyway: ``[::1]:9999``, ``::1``.

    Raises:
        ValueError: it is neither.
    """
    if found := _PLACE.fullmatch(text):
        bare, bracketed, name, digits = found.groups()
        port = None if digits is None else int(digits)
        if (port or 0) <= 65535 and (name or _is_ipv6(bare or bracketed)):
            return name or bare or bracketed, port
    raise ValueError(f"{text!r} is not HOST:PORT, such as localhost:9999 or [::1]:9999")


def _is_ipv6(text: str) -> bool:
    import ipaddress  # clients start without it

    with contextlib.suppress(ValueError):
        return bool(ipaddress.IPv6Address(text))
    return False
