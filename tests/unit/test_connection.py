"""A member's side of a connection, without one."""

import os

import pytest

from chatctl.client.connection import MAX_LINE, Connection, lines_of
from chatctl.errors import InputError
from chatctl.wire import Kind


def test_echoes_are_struck_off() -> None:
    """A line is missing until its echo comes; commands are not expected back."""
    connection = Connection()
    assert connection.send(b"hi") == b"hi\n"
    assert connection.send(b"//help") == b"//help\n"
    assert connection.send(b"/who") == b"/who\n"
    assert (connection.sent, connection.missing) == (2, 2)
    connection.receive(b"[You] hi\n[a:1] /help\n")
    assert connection.missing == 1
    connection.receive(b"[You] /help\n")
    assert (connection.missing, connection.unechoed) == (0, 0)


def test_a_refused_line_stays_missing() -> None:
    """When a later line comes back first, the ones before it were refused."""
    connection = Connection()
    for line in (b"a", b"b", b"a", b"c"):
        connection.send(line)
    connection.receive(b"[You] b\n[You] c\n[You] nonsense\n")
    assert connection.missing == 2


def test_leaving_is_known() -> None:
    """After /quit the end of the connection is expected, after anything else it is not."""
    connection = Connection()
    connection.send(b"/quitter")
    assert not connection.leaving
    connection.send(b"/quit now")
    assert connection.leaving


def test_events_of_any_chunks() -> None:
    """Events are whole lines; the end of the connection ends the last one."""
    connection = Connection()
    assert connection.receive("> Connected to the chat server (1 user online)\n[a:1] 한".encode()[:-1])[0].users == 1
    assert connection.receive("한".encode()[-1:] + b"\nlast")[0].text == "한"
    assert connection.receive(b"")[0].line == "last"


def test_a_line_without_end_costs_no_memory() -> None:
    """A server that sends no newline is not kept waiting for in memory."""
    connection = Connection()
    for _ in range(20):
        events = connection.receive(b"x" * (MAX_LINE // 16))
        if events:
            break
    assert [event.kind for event in events] == [Kind.OTHER]
    assert connection.receive(b"x" * MAX_LINE) == []


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
