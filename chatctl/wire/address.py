"""How an address is written: the name of a member that has no other."""


def name(host: str, port: int) -> str:
    """How a member is called: its address, ``[::1]:5000`` for IPv6; an IPv4 address mapped into IPv6 is IPv4."""
    if ":" not in host:
        return f"{host}:{port}"
    import ipaddress  # clients start without it

    mapped = ipaddress.IPv6Address(host).ipv4_mapped
    return f"{mapped}:{port}" if mapped else f"[{host}]:{port}"


def host(name: str) -> str:
    """The address in a member's name."""
    return name.rpartition(":")[0].strip("[]")
