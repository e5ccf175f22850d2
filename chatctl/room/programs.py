"""How a program comes in: it is told hello, and says who it is and what it has seen, in one line.

It may come back so to a place that it has, see `places`; and it gets a name on the way, as everybody may.
"""

import contextlib
import hashlib
import hmac
import json
from typing import Any, NamedTuple

from chatctl import __version__
from chatctl.room.limits import Limits
from chatctl.room.lobby import Lobby
from chatctl.room.people import RefusedError, spelled
from chatctl.room.person import Newcomer
from chatctl.room.places import Place
from chatctl.room.stages import GREETED, INSIDE, Due, M, Member
from chatctl.wire import Rejected, jsonl, words
from chatctl.wire.events import Left, Renamed
from chatctl.wire.words import Farewell

PASSWORD = 60.0
"""Seconds that a newcomer has for the password."""

ENTRY = 10.0
"""Seconds that a program has for entering, once it was told hello."""

SECRET = 16
"""Characters that the secret of a place has at least."""

MAX_TOLD = 64 * 1024
"""Bytes of answers that a member may leave unread before its commands are ignored."""

MOST_OWED = 64 * 1024
"""Bytes that a member may leave unread when it says late that it is a program."""

TRIES = 3
"""Passwords that a newcomer may try."""

_ROOM = 512  # bytes that a program's line may have beyond those of a line that is said: for a number, or for /enter


class Entry(NamedTuple):
    """What a program says when it enters: the keys of ``/enter`` and what they mean stand in docs/wire.md."""

    nick: str = ""
    secret: str = ""
    epoch: str = ""
    after: int = 0
    history: int = 0
    password: str = ""

    @classmethod
    def read(cls, line: str) -> "Entry":
        """Understand the line; keys that are not known are passed over.

        Raises:
            RefusedError: it is none (``usage``).
        """
        word, _, text = line.partition(" ")
        try:
            found: Any = json.loads(text)
            entry = cls(**{key: value for key, value in found.items() if key in cls._fields})
        except (ValueError, AttributeError, RecursionError):
            entry = cls(secret="?")
        typed = all(type(value) is type(default) for value, default in zip(entry, cls(), strict=True))
        if word != "/enter" or not typed or entry.after < 0 or entry.history < 0:
            raise RefusedError(
                "usage", 'say /enter {"nick":"NAME","secret":"AT LEAST 16 CHARACTERS"}, both may be left out'
            )
        if 0 < len(entry.secret) < SECRET:
            raise RefusedError("usage", f"a secret has {SECRET} characters at least")
        return entry


class Programs(Lobby[M]):
    """A lobby that programs may enter.

    Args:
        limits: what members may cost.
        password: what who comes in has to give, if anything.
        certified: members are called what they have proved to be, and nothing else.
        epoch: see `Ledger`.
    """

    def __init__(self, limits: Limits, *, password: bytes | None, certified: bool, epoch: str) -> None:
        super().__init__(limits, epoch)
        self._certified = certified
        self._password = None if password is None else hashlib.sha256(password).digest()

    def greet(self, member: M, word: str = "json") -> None:
        """Say hello to a program, which sees nothing of the room from then on until it has entered.

        Args:
            member: the program.
            word: the dialect that it reads.

        Raises:
            RefusedError: it has not read yet what it saw before (``slow``).
        """
        if member.lag > MOST_OWED:
            raise RefusedError("slow", "read first: too much is on its way to you")
        log = self.ledger.log(word)
        member.log.readers -= 1
        log.readers += 1
        member.change(log)
        self._move(member, GREETED)
        self.deadlines.set(member, self.now + _time_to_enter(member), Due.ENTRY)
        member.decoder.max_line = self.limits.max_line + _ROOM
        limits = self.limits
        hello = jsonl.hello(f"chatctl {__version__}", password=member.locked, line=limits.max_line, grace=limits.grace)
        self.give(member, log.dialect.wrap(hello))

    def admit(self, member: M, items: list[bytes | Rejected]) -> list[bytes | Rejected]:
        """Let a program in that says how; return what follows that."""
        for at, item in enumerate(items):
            try:
                entry = Entry.read(item.decode() if isinstance(item, bytes) else "")
            except RefusedError as refused:
                if member.told <= MAX_TOLD:  # a chunk can ask for megabytes
                    self.refuse(member, refused.code, refused.text)
                continue
            if not member.locked or self._is_password(entry.password):
                member.locked = False
                self._admit(member, entry)
                return items[at + 1 :]
            if self._wrong_password(member):
                break
        return []

    def _is_password(self, text: str) -> bool:
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        return hmac.compare_digest(digest, self._password or b"")

    def _admit(self, member: M, entry: Entry) -> None:
        """Let a program be who it says it is: by the secret of its place, or as a newcomer."""
        ledger = self.ledger
        digest = hashlib.sha256(entry.secret.encode("utf-8", "surrogatepass")).digest() if entry.secret else b""
        if word := ledger.places.last_word(digest, self.now):
            self.dismiss(member, self.now, word, word.code)
            return
        newcomer = Newcomer(member, entry.epoch, entry.after, entry.history)
        place = ledger.places.find(digest)
        if place and place.pace:
            member.bucket, member.renamed = place.pace
        here = self.person(member)
        if here and place:  # what it was so far, before it said late that it is a program, it is no longer
            self.post(Left(here.uid))
            here = None
        person = ledger.people.get(place.uid) if place else None  # only now: who was let in first may have its seat
        name, refused = self._entry_name(member, entry.nick, place)
        if person:
            refused = None  # it is called what it was called
            self.link(member, person, newcomer, digest)
        elif here:
            if name and name != here.name:
                self.post(Renamed(here.uid, name))
            self.link(member, here, newcomer, digest)
        else:
            self.enter(member, name, place=digest, newcomer=newcomer)
        if refused and member.stage is INSIDE:
            self.refuse(member, refused.code, refused.text)

    def _entry_name(self, member: M, nick: str, place: Place | None) -> tuple[str, RefusedError | None]:
        """What a program that enters is called, and why not as it wants; empty: by its address, or as before."""
        if self._certified:
            return self._certified_name(member), None
        typed = nick or member.identity or (place.name if place and ":" not in place.name else "")
        if not typed:
            return "", None
        try:
            return self._free_name(member, typed, place.uid if place else 0), None
        except RefusedError as refused:
            return "", refused

    def no_entry(self, member: M, now: float) -> None:
        """End a program that has not entered in time."""
        self.dismiss(
            member, now, Farewell("usage", f"no /enter within {_time_to_enter(member):.0f} s"), "did not enter"
        )

    def _wrong_password(self, member: M) -> bool:
        """Count a try, and end who has had enough; return whether that is so."""
        member.tries += 1
        if member.tries == TRIES:
            self.dismiss(member, self.now, Farewell("password", words.WRONG_PASSWORD), words.WRONG_PASSWORD)
            return True
        self.refuse(member, "password", words.WRONG_PASSWORD)
        return False

    def _certified_name(self, member: M) -> str:
        """What a member has proved to be called, if that is a good name, and nobody has it: another device has."""
        with contextlib.suppress(RefusedError):
            return self._free_name(member, member.identity)
        return ""

    def may_be_called(self, member: M, typed: str) -> str:
        """The name that a member means, if it can have it.

        Raises:
            RefusedError: it cannot.
        """
        if self._certified:
            raise RefusedError("name", "your name is your certificate's")
        return self._free_name(member, typed)

    def _free_name(self, member: M, typed: str, uid: int = 0) -> str:
        name = spelled(typed)
        self.ledger.names.check(name, uid or member.uid, member.address.host, self.now)
        return name


def _time_to_enter(member: Member) -> float:
    """Seconds that it takes, where somebody may have to be asked for the password."""
    return PASSWORD if member.locked else ENTRY
