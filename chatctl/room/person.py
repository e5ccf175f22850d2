"""Who is in the room, and the links of those who come."""

from typing import NamedTuple

from chatctl.room.log import View
from chatctl.room.places import Place
from chatctl.wire import Address


class Person:
    """Somebody in the room.

    ``uid`` is a number that nobody else has or had. ``view``: of the link that it has here, if it has one. ``place``:
    what is kept of it, should it lose that.
    """

    __slots__ = ("address", "name", "place", "uid", "view")

    def __init__(self, uid: int, name: str, address: Address, view: View | None, place: Place | None) -> None:
        self.uid = uid
        self.name = name
        self.address = address
        self.view = view
        self.place = place


class Newcomer(NamedTuple):
    """The link of somebody who enters, or comes back.

    Attributes:
        view: its view, which is deaf so far.
        epoch: of the events that it has seen; empty: it has seen none.
        after: the number of the newest of them.
        history: lines said before that it wants, if it has seen none.
    """

    view: View
    epoch: str = ""
    after: int = 0
    history: int = 0
