"""Every test here runs over every mode in the registry, in plain text and under TLS."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chatctl.server import MODES
from tests.rooms import Certificates, Room

Start = Callable[..., Room]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for all tests of a run."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=[(mode, tls) for mode in sorted(MODES) for tls in ("plain", "tls")], ids="-".join)
def start(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Start]:
    """Start a server with flags, without a rate if they give none.

    At the end it must have nothing left of the test and end in good order.
    """
    rooms: list[Room] = []

    def start_room(*flags: str, **options: Any) -> Room:
        mode, tls = request.param
        if tls == "tls":
            options.setdefault("certificates", certificates)
        room = Room(mode, "--rate", "0", *flags, **options)
        rooms.append(room)
        room.note_resources()
        return room

    yield start_room
    try:
        for room in rooms:
            if room.process.poll() is None:
                room.assert_clean()
    finally:
        for room in rooms:
            room.stop()


@pytest.fixture
def room(start: Start) -> Room:
    """A server with its defaults."""
    return start()
