"""Every test here runs over every mode in the registry, in plain text, and under TLS with a store."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from chatctl.server import MODES
from tests.rooms import AnyRoom, Certificates, Room, ThreadRoom

Start = Callable[..., ThreadRoom]
Launch = Callable[..., Room]
R = TypeVar("R", bound=AnyRoom)


@pytest.fixture(params=[(mode, tls) for mode in sorted(MODES) for tls in ("plain", "tls")], ids="-".join)
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A mode, and whether it is under TLS, where the room is stored."""
    kind: tuple[str, str] = request.param
    return kind


def serving(
    house: Callable[..., R], kind: tuple[str, str], certificates: Certificates, stores: Path
) -> Iterator[Callable[..., R]]:
    """Start servers with flags, without a rate if they give none.

    At the end they must have nothing left of the test and end in good order.
    """
    rooms: list[R] = []

    def start_room(*flags: str, **options: Any) -> R:
        mode, tls = kind
        if tls == "tls":
            options.setdefault("certificates", certificates)
            flags = ("--store", str(stores / str(len(rooms))), *flags)
        room = house(mode, "--rate", "0", *flags, **options)
        rooms.append(room)
        room.note_resources()
        return room

    yield start_room
    try:
        for room in rooms:
            if room.running:
                room.assert_clean()
    finally:
        for room in rooms:
            room.stop()


@pytest.fixture
def start(kind: tuple[str, str], certificates: Certificates, tmp_path: Path) -> Iterator[Start]:
    """Start a server in a thread."""
    yield from serving(ThreadRoom, kind, certificates, tmp_path / "threads")


@pytest.fixture
def launch(kind: tuple[str, str], certificates: Certificates, tmp_path: Path) -> Iterator[Launch]:
    """Start a server in a process, where that is what a test is about: its memory, its signals, its descriptors."""
    yield from serving(Room, kind, certificates, tmp_path / "processes")


@pytest.fixture
def room(start: Start) -> ThreadRoom:
    """A server with its defaults, in a thread."""
    return start()


@pytest.fixture
def process(launch: Launch) -> Room:
    """A server with its defaults, in a process."""
    return launch()
