"""What a server counts: one reading, which SIGUSR1 and the metrics show alike."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple


class Stored(NamedTuple):
    """What was written to the store so far."""

    bytes: int
    """Bytes."""
    lines: int
    """Lines, the store's own included."""
    writes: int
    """Times that something was written."""
    seconds: float
    """Seconds that this took."""
    missing: int
    """Events that could not be written."""

    def line(self) -> str:
        """All of it, for a line."""
        return (
            f"stored {self.bytes} bytes, {self.lines} lines in {self.writes} writes, {self.seconds:.3f} s, "
            f"{self.missing} missing, "
        )


class Counters(NamedTuple):
    """One reading. What is not a number of those here now only ever grows.

    A reason is one of a fixed few, never a text with a name or a number in it.
    """

    since: float
    """When the server began, in Unix time."""
    users: int
    """Members now, those who have lost their connections and are waited for included."""
    held: int
    """Of them, those who are waited for."""
    asleep: int
    """Places that are kept of who has gone, now."""
    links: Mapping[str, int]
    """Members connected now, by the dialect that they read."""
    outside: int
    """Connections now that are still in a TLS handshake or have not given the password."""
    lines: int
    """Chat lines said."""
    resumed: int
    """Times that somebody came back to its place."""
    incomplete: int
    """Of them, those who have missed something."""
    bytes_in: int
    """Bytes read from members, without those of TLS."""
    bytes_out: int
    """Bytes sent to them."""
    refused: Mapping[str, int]
    """Why newcomers were refused, and how many."""
    ended: Mapping[str, int]
    """Why members went of their own accord or were lost: "left", "reset", …"""
    cut: Mapping[str, int]
    """Why the server ended members: "fell behind", "idle", "kicked", …"""
    stored: Stored | None = None
    """What was written to the store; None: there is none."""

    def line(self) -> str:
        """All of it on one line. The words are the same for every number, so that it can be searched."""
        since = datetime.fromtimestamp(self.since, UTC).astimezone().isoformat(timespec="seconds")
        return (
            f"{self.users} users, {self.outside} outside, {self.lines} lines, "
            f"{self.bytes_in} bytes in, {self.bytes_out} bytes out, {_sum('links', self.links)}, "
            f"{self.held} held, {self.asleep} asleep, {self.resumed} resumed, {self.incomplete} incomplete, "
            f"{self.stored.line() if self.stored else ''}"
            f"{_sum('refused', self.refused)}, {_sum('cut', self.cut)}, {_sum('ended', self.ended)}, since {since}"
        )


def _sum(what: str, reasons: Mapping[str, int]) -> str:
    """The total and what it is made of, the most frequent first."""
    parts = sorted(((reason, number) for reason, number in reasons.items() if number), key=lambda part: -part[1])
    made_of = ", ".join(f"{reason} {number}" for reason, number in parts)
    return f"{what} {sum(reasons.values())}" + (f" ({made_of})" if made_of else "")
