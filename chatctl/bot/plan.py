"""What a script amounts to."""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chatctl.bot.script import Expect, On, Repeat, Send, Step, Users, Wait


@dataclass(frozen=True)
class Size:
    """How many steps, lines that they say, and seconds, at least and at most."""

    steps: int = 0
    lines: int = 0
    least: float = 0.0
    most: float = 0.0

    @property
    def ends(self) -> bool:
        """Whether it ends by itself."""
        return self.most < float("inf")

    def __add__(self, other: "Size") -> "Size":
        return Size(
            self.steps + other.steps, self.lines + other.lines, self.least + other.least, self.most + other.most
        )

    def times(self, number: int) -> "Size":
        """So many times that."""
        return Size(number * self.steps, number * self.lines, number * self.least, number * self.most)


def size(steps: Sequence[Step], times: int = 1) -> Size:
    """The size of steps with all their rounds; an ``on`` or ``every`` says nothing by itself."""
    total = Size()
    for step in steps:
        match step:
            case Repeat():
                total += size(step.steps, step.times)
            case Wait(seconds=None):
                total += Size(1, most=float("inf"))
            case Wait(seconds=float(seconds)):
                total += Size(1, least=seconds, most=seconds)
            case Expect() | Users():
                total += Size(1, most=step.within)
            case Send():
                total += Size(1, 1)
            case _:
                total += Size(1)
    return total.times(times)


def plan(steps: Sequence[Step], indent: str = "") -> Iterator[str]:
    """The steps as they were understood, each with the number of its line."""
    for step in steps:
        yield f"{step.line:5}  {indent}{step}"
        if isinstance(step, Repeat):
            yield from plan(step.steps, indent + "    ")
            yield f"{'':5}  {indent}end"


class Hearing(enum.IntEnum):
    """Which lines a step may have to look at."""

    NONE = 0
    OWN = 1
    ALL = 2


def hearings(steps: Sequence[Step]) -> list[Hearing]:
    """Which lines the steps from each one on may have to look at; and none behind the last."""
    found = [Hearing.NONE]
    for step in reversed(steps):
        match step:
            case Expect(own=True):
                heard = Hearing.OWN
            case Expect() | On():
                heard = Hearing.ALL
            case Repeat():
                heard = hearings(step.steps)[0]
            case _:
                heard = Hearing.NONE
        found.append(max(found[-1], heard))
    return found[::-1]
