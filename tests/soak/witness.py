"""What a soak finds: the transcript of a room, and the witnesses that have to see the same."""

import re
import time
import zlib
from collections import Counter, deque

SLOWEST = 10  # times as long as anybody in the quiet room a talker may have to wait for its echo

SAID = re.compile(rb"\[(\S+)\] (.*)", re.DOTALL)
NUMBERED = re.compile(rb"(\d+) ([0-9a-f]{8}) (.*)", re.DOTALL)
NOTICE = re.compile(rb"(> New|< The) user (\S+) (?:entered|left) \((\d+) users? online\)")
WELCOME = re.compile(rb"> Connected to the chat server \((\d+) users? online\)")


def show(data: bytes) -> str:
    """Bytes for a message: those of a line that tell it from others."""
    return repr(data[:60].decode(errors="replace"))


class Tally:
    """What was done and what was found."""

    def __init__(self) -> None:
        self.lines = self.deliveries = self.visits = self.resets = self.cut = 0
        self.slowest = 0.0  # echo of a talker, in seconds
        self.beat = 0.0  # of the quiet room, the slowest one
        self.faults = Counter[str]()
        self.reasons: list[str] = []

    def fault(self, kind: str, reason: str, number: int = 1) -> None:
        """Note that something is not as it has to be."""
        self.faults[kind] += number
        self.reasons.append(f"{kind}: {reason}")

    def judge(self) -> None:
        """Say whether some held others up, as it shows beside a room where nobody does, on the same busy machine."""
        if self.slowest > SLOWEST * self.beat:
            self.fault("other", f"an echo took {self.slowest:.2f} s, in a quiet room {self.beat:.2f} s at most")


class Witness:
    """One view of a room: the lines of the transcript from ``at`` to ``until`` have to be in it, and no others.

    ``ended``: it reads no more. ``complete``: it read to an orderly end. ``blind``: it is not compared any more.
    """

    def __init__(self, name: bytes, transcript: "Transcript") -> None:
        self.name = name
        self.at: int | None = None  # None until the founder has seen it enter
        self.until: int | None = None
        self.welcomed = self.announced = -1
        self.echoed = 0
        self.asked: deque[float] = deque()  # when it said the lines whose echoes are timed
        self.answers: deque[bytes] = deque(maxlen=50)
        self.partial = b""
        self.ended = self.complete = self.blind = False
        self._transcript = transcript
        self._queue: deque[bytes] = deque()

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        *lines, self.partial = (self.partial + data).split(b"\n")
        for line in lines:
            if line.startswith(b"! "):
                self.answers.append(line)
            elif self.welcomed < 0:
                welcome = WELCOME.fullmatch(line)
                self.welcomed = int(welcome[1]) if welcome else 0
            elif line.startswith(b"[You] "):
                self.echoed += 1
                if self.asked:
                    tally = self._transcript.tally
                    tally.slowest = max(tally.slowest, time.monotonic() - self.asked.popleft())
                self.see(b"[%b] %b" % (self.name, line[6:]))
            else:
                self.see(line)
        self.settle()

    def see(self, line: bytes) -> None:
        """Take a line that all have to see."""
        self._queue.append(line)

    def settle(self) -> None:
        """Compare what was seen with the transcript, as far as that goes."""
        lines, first, queue = self._transcript.lines, self._transcript.first, self._queue
        while queue and not self.blind and self.at is not None and self.at - first < len(lines):
            line = queue.popleft()
            if line != lines[self.at - first]:
                self._differ(line, lines[self.at - first : self.at - first + 1000])
            self.at += 1
            self._transcript.tally.deliveries += 1
        if self.blind:
            queue.clear()

    def judge(self) -> None:
        """Say whether it saw all that it had to see, now that the transcript has no more for it."""
        fault = self._transcript.tally.fault
        if self.complete and self.announced != self.welcomed:
            fault("wrong counts", f"{show(self.name)}: welcomed with {self.welcomed}, announced with {self.announced}")
        if self._queue:
            fault("out of order", f"{show(self.name)} saw what the founder did not: {show(self._queue[0])}")
        elif self.complete and self.at != self.until and not self.blind:
            fault("lost", f"{show(self.name)} saw the lines to {self.at}, not to {self.until}")

    def _differ(self, line: bytes, expected: list[bytes]) -> None:
        assert self.at is not None
        if line in expected:
            skipped = expected.index(line)
            self._transcript.tally.fault("lost", f"{show(self.name)} did not see {show(expected[0])}", skipped)
            self.at += skipped
        else:
            self._transcript.tally.fault("out of order", f"{show(self.name)} saw {show(line)}, not {show(expected[0])}")
            self.blind = True


class Transcript:
    """The lines of a room as its founder reads them, checked, and the witnesses that have to see the same.

    ``present``: the members, with the number that each one's next line must have. ``garblers`` number none.
    """

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.lines: list[bytes] = []
        self.first = 0  # the position of lines[0]: what all have seen is forgotten
        self.size = 0  # bytes
        self.present: dict[bytes, int] = {}
        self.garblers: set[bytes] = set()
        self.witnesses: dict[bytes, Witness] = {}

    def record(self, line: bytes) -> None:
        """Take the next line."""
        if said := SAID.fullmatch(line):
            self._check_said(*said.groups())
        elif notice := NOTICE.fullmatch(line):
            self._check_notice(*notice.groups())
        else:
            self.tally.fault("other", f"no line of the wire: {show(line)}")
        self.lines.append(line)
        self.size += len(line) + 1
        self.tally.lines += 1

    def _check_said(self, name: bytes, text: bytes) -> None:
        expected = self.present.get(name, -1)
        numbered = NUMBERED.fullmatch(text)
        if name in self.garblers and expected >= 0:
            return
        if expected < 0 or not numbered or zlib.crc32(numbered[3], int(numbered[1])) != int(numbered[2], 16):
            self.tally.fault("other", f"not a whole line of a member: {show(name)} {show(text)}")
            return
        number = int(numbered[1])
        if number > expected:
            self.tally.fault("lost", f"{show(name)} said {number} after {expected - 1}", number - expected)
        elif number < expected:
            self.tally.fault("out of order", f"{show(name)} said {number} after {expected - 1}")
        self.present[name] = number + 1

    def _check_notice(self, head: bytes, name: bytes, users: bytes) -> None:
        here = self.first + len(self.lines)
        witness = self.witnesses.get(name)
        entered = head.startswith(b">")
        if (name in self.present) == entered:
            self.tally.fault("other", f"{show(name)} entered or left twice")
        if entered:
            self.present[name] = 0
            if witness:
                witness.at, witness.announced = here + 1, int(users)
        else:
            self.present.pop(name, None)
            if witness:
                witness.until = here
        if int(users) != len(self.present):
            self.tally.fault("wrong counts", f"{int(users)}, not {len(self.present)}, at {show(head + b' ' + name)}")

    def sweep(self, *, final: bool = False) -> None:
        """Have all witnesses catch up, judge those that have ended, and forget what all have seen."""
        for name, witness in list(self.witnesses.items()):
            witness.settle()
            if final or (witness.ended and witness.until is not None):
                del self.witnesses[name]
                witness.judge()
        end = self.first + len(self.lines)
        seen = [witness.at for witness in self.witnesses.values() if witness.at is not None and not witness.blind]
        del self.lines[: min(seen, default=end) - self.first]
        self.first = min(seen, default=end)


class Founder(Witness):
    """The witness whose view is the transcript."""

    def see(self, line: bytes) -> None:
        """Take the next line of the room."""
        self._transcript.record(line)
