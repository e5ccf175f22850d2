"""How a newcomer comes in: the handshake, the password, the name, the greeting."""

import hashlib
import hmac

from chatctl.room.limits import Bucket
from chatctl.room.people import RefusedError
from chatctl.room.programs import PASSWORD, Programs
from chatctl.room.stages import KNOCKING, OUTSIDE, SILENT, Due, M
from chatctl.wire import LineDecoder, Rejected, words
from chatctl.wire.words import Farewell

HANDSHAKE = 10.0
"""Seconds that a newcomer has for its TLS handshake, or a browser for its request, TLS included."""

_NICK = b"/nick "
_JSON = b"/json"

SPEAKS_TLS = "this room speaks TLS: come in with chatctl client --tls, or openssl s_client"

REFUSALS = {
    Rejected.TLS: "this room speaks plain text, not TLS",
    Rejected.HTTP: "this is a chat server, not a web server",
}
"""What is said to who speaks something else, and is ended."""


class Entrance(Programs[M]):
    """What is asked of newcomers: see `Programs` for its arguments."""

    def arrive(self, member: M) -> None:
        """Take note of a newcomer: the first call for each. It is not in the room yet."""
        member.decoder = LineDecoder(self.limits.max_line, guard=True)
        super().arrive(member)

    def knock(self, member: M, now: float, due: Due = Due.HANDSHAKE) -> None:
        """Give a newcomer time for its handshake, or a browser for its request; `join` or `open` comes after that."""
        self.deadlines.set(member, now + HANDSHAKE, due)

    def join(self, member: M, now: float, identity: str = "") -> None:
        """Let a newcomer in, or have it wait for the password. One that was turned away meanwhile is not let in.

        Args:
            member: the newcomer.
            now: the time.
            identity: who it has proved to be; empty: nobody.
        """
        if member.stage is not KNOCKING:
            return
        self._prepare(member, now, identity)
        if not member.locked:
            self._welcome(member, now)
        else:
            self._move(member, OUTSIDE)
            self.deadlines.set(member, now + PASSWORD, Due.PASSWORD)
            self.answer(member, words.NEEDS_PASSWORD)

    def open(self, member: M, now: float, decoder: LineDecoder, identity: str = "") -> None:
        """Say hello to a page, which has said by its request that it is a program.

        Args:
            member: the page.
            now: the time.
            decoder: of what it sends.
            identity: see `join`.
        """
        self._prepare(member, now, identity)
        member.decoder = decoder
        self.greet(member, "web")

    def _prepare(self, member: M, now: float, identity: str) -> None:
        member.identity = identity
        self.now = now
        if self.limits.rate:
            member.bucket = Bucket(self.limits.rate, self.limits.burst, now)
        member.locked = self._password is not None

    def no_handshake(self, member: M, now: float) -> None:
        """Turn away who has not shaken hands in time."""
        self.dismiss(member, now, Farewell("tls", SPEAKS_TLS), f"no TLS handshake within {HANDSHAKE:.0f} s")

    def no_request(self, member: M, now: float) -> None:
        """Give up a browser that has not asked for anything in time."""
        self.leave(member, now, f"no request within {HANDSHAKE:.0f} s")

    def no_password(self, member: M, now: float) -> None:
        """Turn away who has not given the password in time."""
        self.dismiss(member, now, Farewell("password", f"no password within {PASSWORD:.0f} s"), "no password")

    def no_word(self, member: M, now: float) -> None:
        """Greet who has not said in time who it is."""
        self.enter(member)

    def _welcome(self, member: M, now: float) -> None:
        """Let somebody in who may come in, when it has said who it is, or has had a moment for that."""
        if self._certified:
            self.enter(member, self._certified_name(member))
        elif member.identity:
            self._enter_as(member, member.identity)
        elif self.limits.greet_delay:
            self._move(member, SILENT)
            self.deadlines.set(member, now + self.limits.greet_delay, Due.GREETING)
            self.touch(member)  # so that the deadline is looked at, whichever thread this is
        else:
            self.enter(member)

    def introduce(self, member: M, items: list[bytes | Rejected]) -> list[bytes | Rejected]:
        """Let in who has said something, under its name if it begins with that; return what follows."""
        first, *rest = items
        if first == _JSON:
            self.greet(member)
            return rest
        if not isinstance(first, bytes) or not first.startswith(_NICK):
            self.enter(member)
            return items
        self._enter_as(member, first.decode().removeprefix("/nick").strip())
        return rest

    def _enter_as(self, member: M, typed: str) -> None:
        """Let somebody in under the name that it means, or else under its address: nobody is kept out for a name."""
        try:
            name = self.may_be_called(member, typed)
        except RefusedError as refused:
            if self.enter(member):
                self.refuse(member, refused.code, refused.text)
        else:
            if self.enter(member, name):
                self.answer(member, words.renamed(name))

    def unlock(self, member: M, items: list[bytes | Rejected]) -> list[bytes | Rejected]:
        """Look for the password in the input of a newcomer; return what follows it."""
        for at, item in enumerate(items):
            digest = hashlib.sha256(item if isinstance(item, bytes) else b"").digest()
            if hmac.compare_digest(digest, self._password or b""):
                member.locked = False
                self._welcome(member, self.now)
                return items[at + 1 :]
            if item == _JSON:
                self.greet(member)
                return items[at + 1 :]
            if isinstance(item, bytes) and item.startswith(_NICK):
                if not self._certified:  # it speaks first, and is heard behind the password
                    member.identity = item.decode().removeprefix("/nick").strip()
                continue
            if self._wrong_password(member):
                break
        return []
