"""Where a connection comes from, and how that is written for people."""

from typing import Any, NamedTuple


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
