"""A member's side of a connection, without one."""

import os
import select
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from chatctl.errors import InputError, NetworkError, PasswordError
from chatctl.peer.blocking import converse, lines_of
from chatctl.peer.secure import secure
from chatctl.peer.stay import MAX_LINE, Connection, Stage
from chatctl.wire import Event, Kind, answer
from chatctl.wire.words import NEEDS_PASSWORD, WRONG_PASSWORD

WELCOME = b"> Connected to the chat server (1 user online)\n"


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


@pytest.mark.parametrize("first", [WELCOME, b"[a:1] hi\n", b"220 welcome\n", b"x" * (MAX_LINE + 1)])
def test_the_first_line_opens(first: bytes) -> None:
    """Whatever a server says first, lines may be sent from then on, and not before."""
    connection = Connection(b"secret")
    assert connection.receive(first[:-1]) == []
    assert (connection.stage, connection.answer()) == (Stage.WAITING, b"")
    connection.receive(first[-1:])
    assert (connection.stage, connection.answer()) == (Stage.OPEN, b"")


def test_a_password_is_sent_when_the_room_asks() -> None:
    """The password is the answer to the greeting, once, and no line whose echo is due."""
    connection = Connection(b"/secret")
    connection.receive(answer(NEEDS_PASSWORD))
    assert connection.answer() == b"/secret\n"
    assert connection.answer() == b""
    assert connection.stage is not Stage.OPEN
    connection.receive(WELCOME)
    assert (connection.stage, connection.answer()) == (Stage.OPEN, b"")
    assert (connection.sent, connection.missing, connection.leaving, connection.refusal) == (0, 0, False, None)


def test_the_connection_has_begun_with_the_password() -> None:
    """A byte-order mark in the first line after it is text, as it is for the server."""
    connection = Connection(b"secret")
    connection.receive(answer(NEEDS_PASSWORD))
    connection.answer()
    connection.receive(WELCOME)
    assert connection.send("\ufeffhi".encode()) == "\ufeffhi\n".encode()


def test_a_wrong_password() -> None:
    """There is no second try: the same password would be wrong again."""
    connection = Connection(b"secret")
    connection.receive(answer(NEEDS_PASSWORD))
    connection.answer()
    connection.receive(answer(WRONG_PASSWORD))
    with pytest.raises(PasswordError, match="the room has another password: give its password by --password-file"):
        connection.answer()


def test_a_password_that_is_not_there() -> None:
    """A room that needs one cannot be entered without."""
    connection = Connection()
    connection.receive(answer(NEEDS_PASSWORD))
    with pytest.raises(PasswordError, match="the room needs a password: give its password by --password-file"):
        connection.answer()


@pytest.mark.parametrize("lines", [[NEEDS_PASSWORD, "too slow"], [NEEDS_PASSWORD, "", "server full"], ["server full"]])
def test_a_refusal_at_any_stage(lines: list[str]) -> None:
    """Another answer than those about the password is the reason not to be let in, and nothing is to be sent then."""
    connection = Connection(b"secret")
    for line in lines:
        if line:
            connection.receive(answer(line))
        else:
            connection.answer()
    assert connection.refusal == lines[-1]
    assert (connection.stage, connection.answer()) == (Stage.WAITING, b"")


def test_an_announcement_before_the_welcome() -> None:
    """Who is let in after all was not refused."""
    connection = Connection()
    connection.receive(answer("back in a minute") + WELCOME)
    assert (connection.stage, connection.refusal) == (Stage.OPEN, None)


def test_the_words_of_the_greeting_inside() -> None:
    """Once inside, the same words ask for nothing: anybody's server may announce them."""
    connection = Connection(b"secret")
    connection.receive(WELCOME + answer(NEEDS_PASSWORD, WRONG_PASSWORD))
    assert connection.answer() == b""
    assert connection.refusal is None


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
    converse(near, Connection(), lines(), show)
    assert received == [b"hi\n"]


def test_a_server_that_never_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a first line does not wait for ever."""
    monkeypatch.setattr("chatctl.peer.blocking.SILENCE", 0.01)
    near, far = socket.socketpair()
    with far, pytest.raises(NetworkError, match="said nothing for 30 s: is it a chat server"):
        converse(near, Connection(), [[b"hi"]], lambda _: None)


def test_a_refusal_and_a_reset() -> None:
    """A connection that breaks after a refusal was refused, whatever else is wrong with it."""
    near, far = socket.socketpair()
    far.sendall(answer("server full"))
    near.sendall(b"unread")
    with pytest.raises(NetworkError, match="the server refused: server full"):
        converse(near, Connection(), [], lambda _: far.close())


def test_a_handshake_without_an_answer() -> None:
    """A server that says nothing to a TLS hello is given up, and the socket closed."""
    near, far = socket.socketpair()
    with far, pytest.raises(NetworkError) as caught:
        secure(near, ssl.create_default_context(), "localhost", 9, patience=0.01)
    assert str(caught.value) == (
        "cannot connect to localhost port 9: no answer in the TLS handshake: does it speak TLS?"
    )
    assert near.fileno() == -1


@pytest.mark.parametrize("host", [".invalid", "x" * 70])
def test_a_name_that_no_certificate_has(host: str) -> None:
    """A host that cannot be checked is not connected to."""
    near, far = socket.socketpair()
    with far, pytest.raises(NetworkError, match="no certificate can be for that name: check the address"):
        secure(near, ssl.create_default_context(), host, 9, patience=1)
    assert near.fileno() == -1


def test_a_refusal_in_pieces() -> None:
    """A refusal in plain text is understood when all of it has come; datagrams stay the pieces that they are."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for piece in (b"!", b" server", b" full\r", b"\n"):
        far.send(piece)
    with far, pytest.raises(NetworkError, match=r"^the server refused: server full$"):
        secure(near, ssl.create_default_context(), "localhost", 9, patience=10)
