"""A member's side of a connection, without one: no socket, no thread, and a clock that the test makes up."""

import errno
import math
import ssl
from pathlib import Path

import pytest

from chatctl.errors import PasswordError
from chatctl.layers.tls import TLS, server_context
from chatctl.peer.comeback import Comeback
from chatctl.peer.connection import PATIENCE, SILENCE, Target
from chatctl.peer.echoes import OVERDUE, WINDOW
from chatctl.peer.stay import MAX_LINE, Stage, Stay
from chatctl.wire import Kind, answer
from chatctl.wire.words import NEEDS_PASSWORD, WRONG_PASSWORD
from tests.rooms import Certificates

WELCOME = b"> Connected to the chat server (1 user online)\n"
TROUBLE = "cannot connect to localhost port 9: "


def opened() -> Stay:
    """One that has been welcomed."""
    stay = Stay()
    stay.receive(WELCOME, 0.0)
    return stay


def lines(stay: Stay, data: bytes) -> list[str]:
    """What is to be shown of some bytes."""
    return [event.line for event in stay.receive(data, 0.0)]


def test_echoes_are_struck_off() -> None:
    """A line is missing until its echo comes; commands are not expected back."""
    stay = Stay()
    assert [stay.send(line, 0.0) for line in (b"hi", b"//help", b"/who")] == [b"hi\n", b"//help\n", b"/who\n"]
    assert (stay.echoes.said, stay.echoes.missing, stay.echoes.due) == (2, 2, [b"hi", b"/help"])
    lines(stay, b"[You] hi\n[a:1] /help\n")
    assert stay.echoes.missing == 1
    lines(stay, b"[You] /help\n")
    assert (stay.echoes.missing, stay.echoes.unechoed) == (0, 0)


def test_a_refused_line_stays_missing() -> None:
    """When a later line comes back first, the ones before it were refused."""
    stay = Stay()
    for line in (b"a", b"b", b"a", b"c"):
        stay.send(line, 0.0)
    lines(stay, b"[You] b\n[You] c\n[You] nonsense\n")
    assert stay.echoes.missing == 2


def test_lines_that_are_too_long() -> None:
    """What the server says of its limit is about the first line that has more; the others are still due."""
    stay = opened()
    for line in (b"short", b"/quite/long", b"//long too", b"last"):
        stay.send(line, 0.0)
    for _ in range(3):
        lines(stay, answer("line too long, not sent: it may have 8 bytes"))
    assert (stay.echoes.limit, list(stay.echoes.refused)) == (8, [b"/quite/long", b"/long too"])
    assert (stay.echoes.due, stay.echoes.missing) == ([b"short", b"last"], 4)
    lines(stay, b"[You] short\n[You] last\n")
    assert (stay.echoes.missing, stay.echoes.unechoed) == (2, 0)


def test_the_window_of_echoes() -> None:
    """Who is too far ahead waits for echoes, but not for ever, and then never again."""
    stay = opened()
    stay.send(b"x" * WINDOW, 5.0)
    assert stay.echoes.hold(5.0) is None
    stay.send(b"y", 6.0)
    assert stay.echoes.hold(6.0) == 6.0 + OVERDUE
    lines(stay, b"[You] %b\n" % (b"x" * WINDOW))
    assert stay.echoes.hold(6.0) is None
    stay.send(b"x" * WINDOW, 7.0)
    assert stay.echoes.hold(7.0 + OVERDUE) is None
    stay.send(b"z", 100.0)
    assert stay.echoes.hold(100.0) is None


def test_leaving_is_known() -> None:
    """After /quit the end of the connection is expected, after anything else it is not."""
    stay = Stay()
    stay.send(b"/quitter", 0.0)
    assert not stay.leaving
    stay.send(b"/quit now", 0.0)
    assert stay.leaving


def test_events_of_any_chunks() -> None:
    """Events are whole lines; the end of the connection ends the last one."""
    stay = Stay()
    assert lines(stay, WELCOME + "[a:1] 한".encode()[:-1]) == [WELCOME.decode().rstrip()]
    assert lines(stay, "한".encode()[-1:] + b"\nlast") == ["[a:1] 한"]
    assert lines(stay, b"") == ["last"]


def test_a_line_without_end_costs_no_memory() -> None:
    """A server that sends no newline is not kept waiting for in memory."""
    stay = Stay()
    for _ in range(20):
        if events := stay.receive(b"x" * (MAX_LINE // 16), 0.0):
            break
    assert [event.kind for event in events] == [Kind.OTHER]
    assert stay.receive(b"x" * MAX_LINE, 0.0) == []


@pytest.mark.parametrize("first", [WELCOME, b"[a:1] hi\n", b"220 welcome\n", b"x" * (MAX_LINE + 1)])
def test_the_first_line_opens(first: bytes) -> None:
    """Whatever a server says first, lines may be sent from then on, and not before."""
    stay = Stay(b"secret")
    assert lines(stay, first[:-1]) == []
    assert (stay.stage, stay.answer(0.0)) == (Stage.WAITING, b"")
    lines(stay, first[-1:])
    assert (stay.stage, stay.answer(0.0)) == (Stage.OPEN, b"")


def test_a_password_is_sent_when_the_room_asks() -> None:
    """The password is the answer to the greeting, once, and no line whose echo is due."""
    stay = Stay(b"/secret")
    lines(stay, answer(NEEDS_PASSWORD))
    assert stay.answer(0.0) == b"/secret\n"
    assert stay.answer(0.0) == b""
    assert stay.stage is not Stage.OPEN
    lines(stay, WELCOME)
    assert (stay.stage, stay.answer(0.0)) == (Stage.OPEN, b"")
    assert (stay.echoes.said, stay.echoes.missing, stay.leaving, stay.refusal) == (0, 0, False, None)


def test_the_connection_has_begun_with_the_password() -> None:
    """A byte-order mark in the first line after it is text, as it is for the server."""
    stay = Stay(b"secret")
    lines(stay, answer(NEEDS_PASSWORD))
    stay.answer(0.0)
    lines(stay, WELCOME)
    assert stay.send("\ufeffhi".encode(), 0.0) == "\ufeffhi\n".encode()


def test_a_wrong_password() -> None:
    """There is no second try by itself: the same password would be wrong again."""
    stay = Stay(b"secret")
    lines(stay, answer(NEEDS_PASSWORD))
    stay.answer(0.0)
    lines(stay, answer(WRONG_PASSWORD))
    with pytest.raises(PasswordError, match="the room has another password: give its password by --password-file"):
        stay.answer(0.0)


def test_a_wrong_password_that_was_typed() -> None:
    """It is forgotten, and another one may be given, three in all."""
    stay = Stay()
    lines(stay, answer(NEEDS_PASSWORD))
    for guess in (b"a", b"b", b"c"):
        assert (stay.stage, stay.password) == (Stage.ASKED, None)
        stay.password = guess
        assert stay.answer(0.0) == guess + b"\n"
        stay.ask_again()
        assert stay.stage is Stage.ANSWERED
        lines(stay, answer(WRONG_PASSWORD))
        stay.ask_again()
    with pytest.raises(PasswordError, match="another password"):
        stay.answer(0.0)


def test_a_password_that_is_not_there() -> None:
    """A room that needs one cannot be entered without."""
    stay = Stay()
    lines(stay, answer(NEEDS_PASSWORD))
    with pytest.raises(PasswordError, match="the room needs a password: give its password by --password-file"):
        stay.answer(0.0)


@pytest.mark.parametrize("said", [[NEEDS_PASSWORD, "too slow"], [NEEDS_PASSWORD, "", "server full"], ["server full"]])
def test_a_refusal_at_any_stage(said: list[str]) -> None:
    """Another answer than those about the password is the reason not to be let in, and nothing is to be sent then."""
    stay = Stay(b"secret")
    for line in said:
        if line:
            lines(stay, answer(line))
        else:
            stay.answer(0.0)
    assert stay.refusal == said[-1]
    assert (stay.stage, stay.answer(0.0)) == (Stage.WAITING, b"")


def test_an_announcement_before_the_welcome() -> None:
    """Who is let in after all was not refused."""
    stay = Stay()
    lines(stay, answer("back in a minute") + WELCOME)
    assert (stay.stage, stay.refusal) == (Stage.OPEN, None)


def test_the_words_of_the_greeting_inside() -> None:
    """Once inside, the same words ask for nothing: anybody's server may announce them."""
    stay = Stay(b"secret")
    lines(stay, WELCOME + answer(NEEDS_PASSWORD, WRONG_PASSWORD))
    assert stay.answer(0.0) == b""
    assert stay.refusal is None


def test_patience() -> None:
    """A server may be silent once it has let the member in, and for half a minute at each step before that."""
    stay = Stay(b"secret", now=100.0)
    assert stay.deadline == 100.0 + SILENCE
    stay.receive(answer(NEEDS_PASSWORD), 110.0)
    assert stay.deadline == 110.0 + SILENCE
    stay.answer(120.0)
    assert stay.deadline == 120.0 + SILENCE
    stay.receive(WELCOME, 130.0)
    assert stay.deadline == math.inf


def test_text_that_is_understood_later_is_no_silence() -> None:
    """Who only takes the text gives nobody up for what is not understood yet."""
    stay = Stay()
    assert stay.decrypt(WELCOME, 1.0) == WELCOME
    assert (stay.deadline, stay.stage) == (math.inf, Stage.WAITING)


RESET = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


@pytest.mark.parametrize(
    ("said", "left", "error", "trouble"),
    [
        (WELCOME, False, None, "the server went away"),
        (WELCOME, True, None, ""),
        (WELCOME, True, RESET, "the connection broke: Connection reset by peer"),
        (answer("server full"), True, RESET, "the server refused: server full"),
        (
            b"",
            False,
            TimeoutError(),
            "the server has said nothing for 30 s: is it a chat server? with or without --tls?",
        ),
    ],
)
def test_ends(said: bytes, left: bool, error: OSError | None, trouble: str) -> None:
    """What an end was depends on what was said before it; whatever comes after it is another matter."""
    stay = Stay()
    if said:
        stay.receive(said, 0.0)
    stay.leaving = left
    stay.end(error)
    stay.end(TimeoutError())
    assert (stay.ended, stay.deadline, stay.trouble) == (True, math.inf, trouble)


@pytest.mark.parametrize(
    ("last", "final"),
    [
        (answer("kicked: enough"), "kicked: enough"),
        (answer("nothing heard of you for 60 s"), "nothing heard of you for 60 s"),
        (answer("kicked") + b"[a:1] poor him\n", None),
        (answer("server shutting down"), None),
        (b"[a:1] kicked\n", None),
    ],
)
def test_the_last_word(last: bytes, final: str | None) -> None:
    """Who was sent away by the server's last word, and nobody else, must not come back."""
    stay = opened()
    lines(stay, last)
    lines(stay, b"")
    assert stay.final == final


# The quiet question

LIST = ["! 2 users online", "! 10.0.0.1:1", "! 192.0.2.7:2 (you)"]


def asked(users: int = 2) -> Stay:
    """One that has asked who is online."""
    stay = Stay(curious=True)
    lines(stay, f"> Connected to the chat server ({users} users online)\n".encode())
    assert stay.answer(0.0) == b"/who\n"
    return stay


def text(*some: str) -> bytes:
    return "".join(f"{line}\n" for line in some).encode()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_room_tells_who_this_is(size: int) -> None:
    """The answer is shown to nobody, however it comes, and everything around it is."""
    stay = asked()
    data = text("[a:1] hi", "[You] x", *LIST, *LIST, "! no such command: /x", "[a:1] bye")
    shown = [line for at in range(0, len(data), size) for line in lines(stay, data[at : at + size])]
    assert shown == ["[a:1] hi", "[You] x", *LIST, "! no such command: /x", "[a:1] bye"]
    assert (stay.question.me, stay.question.open) == ("192.0.2.7:2", False)
    assert [event.line for event in stay.question.take()] == LIST
    assert stay.question.take() == []
    assert stay.answer(0.0) == b""


@pytest.mark.parametrize(
    "said",
    [
        ["! no such command: /who"],
        ["! 2 users online", "! 10.0.0.1:1", "[a:1] hi"],
        ["! 2 users online", "! 10.0.0.1:1", "! two words"],
        ["! 2 users online", "! 10.0.0.1:1", "! 10.0.0.2:1"],
        ["! 999999999 users online", "! 10.0.0.1:1"],
        ["! 0 users online"],
    ],
)
def test_another_answer_is_kept_from_nobody(said: list[str]) -> None:
    """A server that answers something else has all of it shown, in order, and is not asked again."""
    stay = asked()
    assert lines(stay, text(*said)) == said
    assert (stay.question.me, stay.question.open, stay.question.take()) == (None, False, [])


def test_half_an_answer_at_the_end() -> None:
    """What was held back is shown when no more can come."""
    stay = asked()
    assert lines(stay, text(*LIST[:2]) + b"! 192") == []
    assert lines(stay, b"") == [*LIST[:2], "! 192"]


@pytest.mark.parametrize(("curious", "users"), [(False, 2), (True, 201)])
def test_who_does_not_ask(curious: bool, users: int) -> None:
    """Nobody asks who need not know, or where the answer is long; what others ask is shown."""
    stay = Stay(curious=curious)
    lines(stay, f"> Connected to the chat server ({users} users online)\n".encode())
    assert (stay.answer(0.0), stay.question.open) == (b"", False)
    assert lines(stay, text(*LIST)) == LIST


# TLS


class Far:
    """The server's side of a stay under TLS; what either sends comes in pieces of so many bytes."""

    def __init__(self, certificate: Path, context: ssl.SSLContext, *, size: int = 1 << 20, password: str = "") -> None:
        self.layer = TLS(server_context(str(certificate), None, None), server_side=True)
        self.stay = Stay(password.encode() or None, target=Target("localhost", 9, context), now=100.0)
        self.size = size

    def pieces(self, data: bytes) -> list[bytes]:
        return [data[at : at + self.size] for at in range(0, len(data), self.size)]

    def tell(self, said: bytes = b"") -> list[str]:
        """Send as the server; what the member sees."""
        sent = self.layer.send(said)
        return [event.line for piece in self.pieces(sent) for event in self.stay.receive(piece, 200.0)]

    def hear(self, said: bytes = b"") -> bytes:
        """What the server gets when the member sends a text."""
        return b"".join(map(self.layer.receive, self.pieces(self.stay.encrypt(said))))

    def shake_hands(self) -> None:
        while not self.layer.established:
            self.hear()
            self.tell()


@pytest.fixture
def far(certificates: Certificates) -> Far:
    """A server that has not begun."""
    return Far(certificates.server, certificates.context())


@pytest.mark.parametrize("size", [1 << 20, 1], ids=["whole", "byte by byte"])
def test_a_whole_stay_under_tls(certificates: Certificates, size: int) -> None:
    """Handshake, password, lines both ways, an end in good order: all of it by bytes."""
    far = Far(certificates.server, certificates.context(), size=size, password="secret")
    assert far.stay.deadline == 100.0 + PATIENCE
    far.shake_hands()
    assert far.stay.deadline == 200.0 + SILENCE
    far.tell(answer(NEEDS_PASSWORD))
    assert far.hear(far.stay.answer(200.0)) == b"secret\n"
    assert far.tell(WELCOME) == [WELCOME.decode().rstrip()]
    assert far.hear(far.stay.send(b"hi", 200.0)) == b"hi\n"
    far.tell(b"[You] hi\n")
    far.stay.leaving = True
    assert b"".join(map(far.layer.receive, far.pieces(far.stay.close()))) == b""
    assert far.layer.ended
    far.layer.close()
    assert far.tell() == []
    assert (far.stay.ended, far.stay.trouble, far.stay.echoes.missing) == (True, "", 0)


def test_text_alone(far: Far) -> None:
    """Who counts lines itself gets the text as it is, and sends any."""
    far.shake_hands()
    assert far.stay.decrypt(far.layer.send(WELCOME + b"half"), 0.0) == WELCOME + b"half"
    assert far.hear(b"a\nb\n") == b"a\nb\n"


def test_a_cut_connection(far: Far) -> None:
    """An end that TLS was not told of may be somebody else's doing."""
    far.shake_hands()
    far.tell(WELCOME)
    assert far.stay.receive(b"", 0.0) == []
    assert far.stay.trouble == "the connection broke: the server ended it without saying so (no close_notify)"


def test_tampering_behind_text(far: Far) -> None:
    """What came before it is shown, and then it is the end."""
    far.shake_hands()
    data = far.layer.send(WELCOME) + b"\x17\x03\x03\x00\x20" + b"x" * 32
    assert len(far.stay.receive(data, 0.0)) == 1
    assert (far.stay.ended, far.stay.trouble) == (True, "the connection broke: decryption failed or bad record mac")
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        far.hear()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "no answer in the TLS handshake: does it speak TLS?"),
        (None, "the server closed the connection in the TLS handshake: does it speak TLS?"),
        (RESET, "Connection reset by peer in the TLS handshake: does it speak TLS?"),
    ],
)
def test_no_handshake(far: Far, error: OSError | None, reason: str) -> None:
    """A server that does not answer a TLS hello is given up."""
    far.stay.end(error)
    assert far.stay.trouble == TROUBLE + reason


@pytest.mark.parametrize("host", [".invalid", "x" * 70])
def test_a_name_that_no_certificate_has(certificates: Certificates, host: str) -> None:
    """A host that cannot be checked is not connected to."""
    stay = Stay(target=Target(host, 9, certificates.context()))
    assert (stay.ended, stay.encrypt(b"")) == (True, b"")
    assert stay.trouble == f"cannot connect to {host} port 9: no certificate can be for that name: check the address"


def test_a_refusal_in_pieces(far: Far) -> None:
    """A refusal in plain text is understood when all of it has come."""
    for piece in (b"!", b" server", b" full\r"):
        assert far.stay.receive(piece, 0.0) == []
        assert not far.stay.ended
    far.stay.receive(b"\n", 0.0)
    assert (far.stay.ended, far.stay.trouble) == (True, "the server refused: server full")


# Coming back


def test_delays() -> None:
    """They begin with 1 s, double, end at 60 s at most, and chance adds half of each at most."""
    least, most = Comeback(wanted=True, chance=lambda: 0), Comeback(wanted=True, chance=lambda: 1)
    assert [least.delay(0.0, final=False) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 40, 40]
    assert [most.delay(0.0, final=False) for _ in range(8)] == [1.5, 3, 6, 12, 24, 48, 60, 60]


def test_coming_back() -> None:
    """Delays grow from attempt to attempt, and begin anew after a connection that lasted for more than a minute."""
    comeback = Comeback(wanted=True, chance=lambda: 0)
    assert [comeback.delay(now, final=False) for now in (0.0, 1.0)] == [1, 2]
    comeback.begin(10.0)
    assert comeback.delay(70.0, final=False) == 4
    comeback.begin(100.0)
    assert comeback.delay(160.1, final=False) == 1
    assert comeback.delay(1000.0, final=False) == 2


def test_not_coming_back() -> None:
    """Nobody comes back who does not want to, or must not."""
    assert Comeback(wanted=False).delay(0.0, final=False) is None
    assert Comeback(wanted=True).delay(0.0, final=True) is None
