"""The client as a filter over a real socket, whose other end the test has."""

import os
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from chatctl.client.plain import Filter
from chatctl.errors import InputError, NetworkError
from chatctl.peer.stay import MAX_LINE, Stay
from chatctl.peer.typed import lines_in, lines_of
from chatctl.wire import Event, answer

WELCOME = b"> Connected to the chat server (1 user online)\n"


def test_nothing_is_sent_before_the_first_line() -> None:
    """Until the server's first line has been shown, no input is taken, and no byte is on its way."""
    near, far = socket.socketpair()
    taken = threading.Event()
    received: list[bytes] = []

    def lines() -> Iterator[list[bytes]]:
        taken.set()
        yield [b"hi"]

    def serve() -> None:
        with far, far.makefile("rb") as file:
            received.append(file.read())

    def show(events: list[Event]) -> None:
        if events:
            assert not taken.is_set()
            assert select.select([far], [], [], 0) == ([], [], [])
            threading.Thread(target=serve).start()

    far.sendall(WELCOME)
    Filter(Stay(now=time.monotonic()), show).run(near, lines())
    assert received == [b"hi\n"]


def test_a_server_that_never_speaks() -> None:
    """Who waits for a first line does not wait for ever: here it has waited since the clock began."""
    near, far = socket.socketpair()
    with far, pytest.raises(NetworkError, match="said nothing for 30 s: is it a chat server"):
        Filter(Stay(now=-1e9), lambda _: None).run(near, [[b"hi"]])


def test_a_refusal_and_a_reset() -> None:
    """A connection that breaks after a refusal was refused, whatever else is wrong with it."""
    near, far = socket.socketpair()
    far.sendall(answer("server full"))
    near.sendall(b"unread")
    with pytest.raises(NetworkError, match="the server refused: server full"):
        Filter(Stay(now=time.monotonic()), lambda _: far.close()).run(near, [])


def test_input_that_breaks() -> None:
    """What is wrong with the input is told, after everything that the server sent."""
    near, far = socket.socketpair()
    shown: list[str] = []

    def lines() -> Iterator[list[bytes]]:
        raise InputError("broken")
        yield []

    far.sendall(WELCOME)
    conversation = Filter(Stay(now=time.monotonic()), lambda events: shown.extend(event.line for event in events))
    with far, pytest.raises(InputError, match="broken"):
        conversation.run(near, lines())
    assert shown == [WELCOME.decode().rstrip()]


def test_lines_that_cannot_be_sent() -> None:
    """A server that goes away in the middle of the input was not left, and no more of the input is taken."""
    near, far = socket.socketpair()

    def lines() -> Iterator[list[bytes]]:
        yield [b"a"]
        far.recv(10)
        far.close()
        yield [b"b"]
        taken.append("c")

    taken: list[str] = []
    far.sendall(WELCOME)
    with pytest.raises(NetworkError, match="the server went away"):
        Filter(Stay(now=time.monotonic()), lambda _: None).run(near, lines())
    assert taken == []


def test_lines_of_an_input() -> None:
    """Lines are clean, whole and never empty, the last one with or without a newline."""
    reading, writing = os.pipe()
    os.write(writing, b"one\r\n\ntwo\x1b")
    os.close(writing)
    assert [line for batch in lines_of(reading) for line in batch] == [b"one", "two␛".encode()]
    os.close(reading)


def test_an_endless_input_line_is_an_error() -> None:
    """A line that no server relays is refused, not silently left out."""
    descriptor = os.open("/dev/zero", os.O_RDONLY)
    with pytest.raises(InputError, match="split it"):
        list(lines_of(descriptor))
    os.close(descriptor)


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        ("", []),
        ("\n", []),
        ("/who", ["/who"]),
        ("\n//x\n", ["//x"]),
        ("one\n\ntwo\n", ["one", " ", "two"]),
        ("// a\n\t/* b */\n/etc/passwd\n/who", ["/// a", "\t/* b */", "//etc/passwd", "//who"]),
        ("\u1112\u1161\u11ab", ["한"]),
        ("\x1b[2J", ["␛[2J"]),
        ("hello \udcff\udcfb", ["hello \ufffd\ufffd"]),
    ],
)
def test_lines_in_what_was_typed(typed: str, lines: list[str]) -> None:
    """They are clean, composed and not empty; several are no commands; bytes that are no UTF-8 cost nothing else."""
    assert [line.decode() for line in lines_in(typed)] == lines


def test_a_line_that_is_too_long() -> None:
    """It is refused, whatever stands beside it."""
    with pytest.raises(InputError, match="split it"):
        lines_in("x\n" + "y" * (MAX_LINE + 1))
