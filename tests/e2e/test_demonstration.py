"""The demonstration that the project comes from, window by window."""

from collections.abc import Callable

from tests.e2e.conftest import Window


def serve(window: Callable[..., Window], mode: str) -> tuple[Window, str]:
    """A server in a window that has said how to join, and its port."""
    server = window("server", "127.0.0.1", "0", "--mode", mode)
    first, _ = server.until("(plain text, no password)")
    return server, first.removeprefix("Chat Server started on port ").removesuffix(".")


def join(port: str) -> str:
    """What the server's window says on stderr, behind the first line."""
    return f"chatctl server: join: chatctl client 127.0.0.1 {port}, or nc 127.0.0.1 {port} (plain text, no password)"


def test_the_demonstration(window: Callable[..., Window], mode: str) -> None:
    """Two talk in English and Korean and leave one after the other, a third listens to the end of it."""
    server, port = serve(window, mode)
    assert server.lines == [f"Chat Server started on port {port}.", join(port)]

    a = window("client", "--plain", "127.0.0.1", port)
    a.until("(1 user online)")
    name_a = server.until("(1 user online)")[-1].split()[3]
    a.type("Hi, I am User1. I am the first.")
    a.until("I am the first.")
    a.type("Nobody there?")
    a.until("Nobody there?")
    b = window("client", "--plain", "127.0.0.1", port)
    b.until("(2 users online)")
    name_b = server.until("(2 users online)")[-1].split()[3]
    a.until("(2 users online)")
    b.type("Hi, I am User2. Who are you?")
    a.until("Who are you?")
    a.type("Oh, nice to meet you. I am User1.")
    b.until("I am User1.")
    a.type("저는 이제 나가볼게요. ㅎㅎ")
    b.until("ㅎㅎ")
    a.process.sendeof()
    assert a.end() == 0
    b.until("left (1 user online)")
    b.type("아 뭐야... 나갔네...")
    b.until("나갔네...")
    b.type("나도 나가야지")
    b.until("나가야지")
    b.process.sendeof()
    assert b.end() == 0

    assert server.until("(0 user online)") == [
        f"Chat Server started on port {port}.",
        join(port),
        f"> New user {name_a} entered (1 user online)",
        f"[{name_a}] Hi, I am User1. I am the first.",
        f"[{name_a}] Nobody there?",
        f"> New user {name_b} entered (2 users online)",
        f"[{name_b}] Hi, I am User2. Who are you?",
        f"[{name_a}] Oh, nice to meet you. I am User1.",
        f"[{name_a}] 저는 이제 나가볼게요. ㅎㅎ",
        f"< The user {name_a} left (1 user online)",
        f"[{name_b}] 아 뭐야... 나갔네...",
        f"[{name_b}] 나도 나가야지",
        f"< The user {name_b} left (0 user online)",
    ]
    assert a.lines == [
        "> Connected to the chat server (1 user online)",
        "[You] Hi, I am User1. I am the first.",
        "[You] Nobody there?",
        f"> New user {name_b} entered (2 users online)",
        f"[{name_b}] Hi, I am User2. Who are you?",
        "[You] Oh, nice to meet you. I am User1.",
        "[You] 저는 이제 나가볼게요. ㅎㅎ",
    ]
    assert b.lines == [
        "> Connected to the chat server (2 users online)",
        "[You] Hi, I am User2. Who are you?",
        f"[{name_a}] Oh, nice to meet you. I am User1.",
        f"[{name_a}] 저는 이제 나가볼게요. ㅎㅎ",
        f"< The user {name_a} left (1 user online)",
        "[You] 아 뭐야... 나갔네...",
        "[You] 나도 나가야지",
    ]
    server.process.sendintr()
    assert server.end() == 0


def test_a_third_window_listens(window: Callable[..., Window], mode: str) -> None:
    """Three are in the room at once; who only listens sees all that the two others say, and their leaves."""
    server, port = serve(window, mode)
    listener, a, b = (window("client", "--plain", "127.0.0.1", port) for _ in range(3))
    for joined in (listener, a, b):
        joined.until("online)")
    server.until("(3 users online)")
    a.type("첫째")
    b.until("첫째")
    b.type("둘째")
    a.until("둘째")
    a.process.sendeof()
    assert a.end() == 0
    b.until("left (2 users online)")
    b.process.sendintr()
    assert b.end() == 130
    said = [line.split("] ", 1)[1] for line in listener.until("left (1 user online)") if line.startswith("[")]
    assert said == ["첫째", "둘째"]
    assert [line[:16] for line in listener.lines[-2:]] == ["< The user 127.0"] * 2
    server.process.sendintr()
    assert server.end() == 0
    assert listener.until("went away")
    assert listener.end() == 1
