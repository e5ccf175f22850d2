"""Who is let in by its address, and by how many there are."""

import pytest

from chatctl.room.door import MORE, Door, network, shown
from chatctl.wire.words import DENIED, FULL, TOO_MANY


@pytest.mark.parametrize(
    ("allow", "deny", "host", "denied"),
    [
        ([], [], "192.0.2.7", False),
        ([], ["192.0.2.0/24"], "192.0.2.7", True),
        ([], ["192.0.2.0/24"], "192.0.3.7", False),
        ([], ["192.0.2.7"], "192.0.2.7", True),
        (["192.0.2.0/24"], [], "192.0.2.7", False),
        (["192.0.2.0/24"], [], "198.51.100.1", True),
        (["192.0.2.0/24"], [], "2001:db8::1", True),
        (["192.0.2.0/24", "2001:db8::/32"], [], "2001:db8::1", False),
        (["192.0.2.0/24"], ["192.0.2.7"], "192.0.2.7", True),
        (["192.0.2.0/24"], ["192.0.2.7"], "192.0.2.8", False),
        (["::ffff:192.0.2.0/120"], [], "192.0.2.7", False),
        ([], ["fe80::/10"], "fe80::1%eth0", True),
        ([], ["192.0.2.0/24"], "", True),
    ],
)
def test_networks(allow: list[str], deny: list[str], host: str, denied: bool) -> None:
    """Deny wins; with any allow all else is refused; who has no address is refused where addresses matter."""
    door = Door(10, allow=map(network, allow), deny=map(network, deny))
    assert door.refusal(host, 0, 0) == (DENIED if denied else None)


@pytest.mark.parametrize(("links", "from_there", "why"), [(9, 3, None), (10, 0, FULL), (10, 4, FULL), (9, 4, TOO_MANY)])
def test_places(links: int, from_there: int, why: str | None) -> None:
    """There are links in all, and for each address, more than people: who comes back has two for a moment."""
    assert Door(10, 2).refusal("192.0.2.7", MORE + links, from_there) == why


def test_no_limit_for_an_address() -> None:
    """0 is off."""
    assert Door(1000, 0).refusal("192.0.2.7", 999, 999) is None


def test_ban() -> None:
    """A ban holds from then on, whatever is allowed."""
    door = Door(10, allow=[network("192.0.2.0/24")])
    assert not door.denies("192.0.2.7")
    door.ban(network("192.0.2.7"))
    assert door.denies("192.0.2.7")
    assert not door.denies("192.0.2.8")


def test_a_ban_is_lifted() -> None:
    """What was denied, from the beginning or later, is let in again when just that is lifted, and not before."""
    door = Door(10, deny=[network("192.0.2.0/24")])
    for _ in range(2):  # twice is once
        door.ban(network("::ffff:198.51.100.7"))
    assert list(map(shown, door.denied)) == ["192.0.2.0/24", "198.51.100.7"]
    assert not door.unban(network("192.0.2.7"))
    assert door.denies("192.0.2.7")
    assert door.unban(network("192.0.2.0/24"))
    assert door.unban(network("198.51.100.7"))
    assert not door.unban(network("198.51.100.7"))
    assert not door.denies("192.0.2.7")
    assert not door.denies("198.51.100.7")


@pytest.mark.parametrize("text", ["", "here", "192.0.2.7/24", "192.0.2.0/33", "1.2.3", "::1/129"])
def test_no_network(text: str) -> None:
    """What is no network in CIDR notation is a ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        network(text)
