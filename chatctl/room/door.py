"""Who is let in, by its address and by how many there are already."""

import ipaddress
from collections.abc import Iterable

from chatctl.wire.words import DENIED, FULL, TOO_MANY

MORE = 64
"""Links beyond the places of a room: of who waits to come in, comes back, or has not closed its end yet."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Door:
    """Decides about newcomers before the room knows of them. ``denied`` are the networks that it keeps out.

    Args:
        max_users: places in the room.
        max_per_ip: places for one address, for which there may be twice as many links; 0: no limit.
        allow: if there are any, only who comes from one of these networks is let in.
        deny: who comes from one of these is not, whatever is allowed.
        more: links beyond the places.
    """

    def __init__(
        self,
        max_users: int,
        max_per_ip: int = 0,
        allow: Iterable[Network] = (),
        deny: Iterable[Network] = (),
        *,
        more: int = MORE,
    ) -> None:
        self._links = max_users + more
        self._max_per_ip = max_per_ip
        self._allow = tuple(allow)
        self.denied: tuple[Network, ...] = ()
        for network in deny:
            self.ban(network)

    def refusal(self, host: str, links: int, from_there: int) -> str | None:
        """Why a newcomer cannot come in; None: it can.

        Args:
            host: its address, an IPv4 address mapped into IPv6 as IPv4.
            links: how many there are already.
            from_there: how many of them from this address.
        """
        if self.denies(host):
            return DENIED
        if links >= self._links:
            return FULL
        if self._max_per_ip and from_there >= 2 * self._max_per_ip:
            return TOO_MANY
        return None

    def denies(self, host: str) -> bool:
        """Whether an address is kept out."""
        if not self._allow and not self.denied:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:  # BSD knows no address of a newcomer that has gone
            return True
        if any(address in network for network in self.denied):
            return True
        return bool(self._allow) and not any(address in network for network in self._allow)

    def ban(self, network: Network) -> None:
        """Keep a network out from now on."""
        if network not in self.denied:
            self.denied += (network,)

    def unban(self, network: Network) -> bool:
        """Keep a network out no longer; return whether it was. A smaller or a larger one is another one."""
        before = self.denied
        self.denied = tuple(denied for denied in before if denied != network)
        return self.denied != before


def network(text: str) -> Network:
    """An address or a network in CIDR notation; one of IPv4 mapped into IPv6 is IPv4.

    Raises:
        ValueError: it is neither.
    """
    found = ipaddress.ip_network(text)
    if isinstance(found, ipaddress.IPv6Network) and found.prefixlen >= 96:
        mapped = found.network_address.ipv4_mapped
        if mapped:
            return ipaddress.IPv4Network((mapped, found.prefixlen - 96))
    return found


def shown(network: Network) -> str:
    """A network as an operator writes it: that of a single address is the address."""
    return str(network.network_address if network.num_addresses == 1 else network)
