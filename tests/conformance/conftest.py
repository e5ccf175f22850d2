"""Every test here runs over every mode in the registry."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chatctl.server import MODES
from tests.rooms import Room

Start = Callable[..., Room]


@pytest.fixture(params=sorted(MODES))
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start a server with flags; at the end it must have nothing left of the test and end in good order."""
    rooms: list[Room] = []

    def start_room(*flags: str, **options: Any) -> Room:
        directory = tmp_path / str(len(rooms))
        directory.mkdir()
        room = Room(request.param, directory, *flags, **options)
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
