"""The bot's scripts, played in real rooms."""

import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

from chatctl.server import MODES
from tests.e2e.conftest import WELCOME, Program, Window, run
from tests.rooms import COMMAND, PATIENCE, Room, environment

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "chatctl" / "bot" / "examples"


@pytest.fixture
def mode() -> str:
    """One is enough: tests/conformance shows that rooms of all modes are the same to those inside."""
    return "select"


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Write a script to a file."""
    names = iter("abc")

    def write(text: str) -> str:
        path = tmp_path / f"{next(names)}.chat"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a bot in the background, in a room."""
    started = []

    def begin(room: Room, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*COMMAND, "bot", "127.0.0.1", str(room.port), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def play(room: Room, path: str | Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run("bot", "127.0.0.1", str(room.port), "--script", str(path), *arguments)


def end(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """The exit status of a bot, what it has shown, and its stderr."""
    output, errors = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in errors
    return process.returncode, output, errors


def shown(stream: IO[str] | None, text: str) -> None:
    """Read until a line has that."""
    assert stream
    for line in stream:
        if text in line:
            return
    raise EOFError(text)


def test_a_conversation(room: Room, start: Callable[..., Any], script: Callable[[str], str]) -> None:
    """A bot talks with somebody, and shows the room as the client does."""
    peer = room.peer()
    path = script("send Who is there?\nexpect /I am (?P<who>\\w+)/ within 20\nsend Hello, {who} at {name}!\nquit")
    bot = start(room, "--script", path)
    peer.until("Who is there")
    peer.say("I am Ada")
    assert peer.until("Hello")[-1].endswith(f"Hello, Ada at {peer.name}!")
    status, output, errors = end(bot)
    assert (status, errors) == (0, "")
    assert output.splitlines() == [
        "> Connected to the chat server (2 users online)",
        "[You] Who is there?",
        f"[{peer.name}] I am Ada",
        f"[You] Hello, Ada at {peer.name}!",
    ]


def test_a_script_from_stdin(room: Room) -> None:
    """``-`` is stdin; nothing is shown with --quiet."""
    result = run("bot", "127.0.0.1", str(room.port), "--script", "-", "-q", input="send a\nexpect own a\n")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_an_expectation_that_fails(room: Room, script: Callable[[str], str]) -> None:
    """Exit status 3, with file, line, and what came instead."""
    path = script("send a\n\nexpect b within 0.2")
    result = play(room, path)
    assert result.returncode == 3
    assert result.stderr == (f"chatctl bot: {path}:3: no line with b within 0.2 s: instead came: {WELCOME}\n")


def test_one_bot_that_fails_is_named(room: Room, script: Callable[[str], str]) -> None:
    """It ends the run of all of them at once."""
    path = script("on go send {bot}\nsend {bot}\nexpect own /[12]$/ within 0.2\nstay")
    result = play(room, path, "--bots", "3")
    assert result.returncode == 3
    assert result.stderr.startswith(f"chatctl bot: bot 3: {path}:3: no line with ")


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_a_script_that_is_not_one(room: Room, script: Callable[[str], str], arguments: list[str]) -> None:
    """Exit status 2 and the place, before any connection."""
    path = script("send a\nexpect /(/")
    result = play(room, path, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"chatctl bot: {path}:2:9: this regular expression is not one: missing ), unterminated subpattern\n"
        "    expect /(/\n"
        "            ^\n"
    )
    assert not any("entered" in line for line in room.console)


def test_check(script: Callable[[str], str]) -> None:
    """The plan is printed without a server, and without its address."""
    path = script("repeat 3\n send hello\n expect hi within 2\nend\nwait 1")
    result = run("bot", "--check", "--script", path, "--repeat", "2")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "    1  repeat 3",
        "    2      send hello",
        "    3      expect hi within 2",
        "       end",
        "    5  wait 1",
        f"{path}: 14 steps, 6 lines to send, 2 s at least, 14 s at most",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["127.0.0.1", "9", "--script", "FILE", "FILE"],
        ["127.0.0.1", "9", "--script", "FILE", "-m", "x"],
        ["--check"],
        ["--script", "FILE"],
        ["127.0.0.1", "--script", "FILE"],
        ["127.0.0.1", "9", "-m", "x", "--bots", "0"],
        ["127.0.0.1", "9", "-m", "x", "--timeout", "0"],
    ],
)
def test_bad_usage(script: Callable[[str], str], arguments: list[str]) -> None:
    """Contradictions and what is missing are usage errors."""
    path = script("send a")
    result = run("bot", *(path if argument == "FILE" else argument for argument in arguments))
    assert result.returncode == 2
    assert re.fullmatch(r"chatctl bot: .+\nTry 'chatctl bot --help'\.\n", result.stderr)


@pytest.mark.parametrize(("path", "why"), [("/no/such/file", "No such file or directory"), ("/", "Is a directory")])
def test_a_script_that_cannot_be_read(path: str, why: str) -> None:
    """One line names it, before any connection, and the exit status is that of wrong usage."""
    result = run("bot", "127.0.0.1", "9", "--script", path)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"chatctl bot: cannot read {path}: {why}\n")


def test_json(room: Room, script: Callable[[str], str]) -> None:
    """One object a line for every event, with keys that stay; a Python program drives a bot and reads them."""
    peer = room.peer()
    path = script("command /who\nexpect you\nsend 안녕\nexpect own 안녕\nexpect left within 20")
    with subprocess.Popen(
        [*COMMAND, "bot", "127.0.0.1", str(room.port), "--script", path, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as bot:
        assert bot.stdout
        events: list[dict[str, Any]] = []
        for line in bot.stdout:
            events.append(json.loads(line))
            if events[-1]["kind"] == "own":
                name = peer.until("안녕")[-1].split("]")[0][1:]
                visitor = room.peer()
                peer.say("hi\ty")
                peer.fence()
                peer.half_close()
        assert bot.wait(PATIENCE) == 0
    for event in events:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", event.pop("time"))
        assert event.pop("bot") == 1
    numbers = [event.pop("seq") for event in events]
    counted = [number for number in numbers if number]
    assert counted == list(range(counted[0], counted[0] + len(counted)))
    uids, ids = [event.pop("uid") for event in events], [event.pop("id") for event in events]
    assert [number for number in ids if number] == [1, 2]
    assert len({uid for uid in uids if uid}) == 3
    kinds = {"kind": "", "from": None, "text": "", "users": None, "to": None}
    assert [event for event in events if "fence" not in event["text"]] == [
        kinds | {"kind": "connected", "users": 2},
        kinds | {"kind": "who", "text": "2 users online", "users": 2},
        kinds | {"kind": "member", "from": peer.name, "text": peer.name},
        kinds | {"kind": "member", "from": name, "text": f"{name} (you)"},
        kinds | {"kind": "own", "text": "안녕"},
        kinds | {"kind": "entered", "from": visitor.name, "users": 3},
        kinds | {"kind": "message", "from": peer.name, "text": "hi\ty"},
        kinds | {"kind": "left", "from": peer.name, "users": 2},
    ]


def test_two_echo_bots_fall_silent(room: Room, start: Callable[..., Any]) -> None:
    """Each answers the other until its guard says no."""
    peer = room.peer()
    guard = "chatctl bot: example:echo:3: answered 10 times in 10 s: not more\n"
    bots = [start(room, "--script", "example:echo") for _ in range(2)]
    peer.until(r"\(3 users online\)")
    peer.say("hello")
    answers = [peer.until(" said: ")[-1] for _ in range(20)]
    assert len({line.split("]")[0] for line in answers}) == 2
    assert peer.fence() == []
    for bot in bots:
        assert bot.stderr.readline() == guard
        bot.send_signal(signal.SIGINT)
        status, _, errors = end(bot)
        assert (status, errors) == (130, "")


def test_a_thousand_bots(room: Room, script: Callable[[str], str]) -> None:
    """They are all in the room at once, say twenty lines each, and every echo is counted."""
    path = script("users 1000 within 60\nrepeat 20\nsend {n} of {bot}\nend")
    result = run("bot", "127.0.0.1", str(room.port), "--script", path, "--bots", "1000", "-q", timeout=3 * PATIENCE)
    assert (result.returncode, result.stderr) == (0, "")
    said = [line.split("] ")[1] for line in room.console_until(r"\(0 user online\)") if line.startswith("[")]
    assert len(said) == len(set(said)) == 20_000


@pytest.mark.parametrize("mode", sorted(MODES))
def test_the_demonstration(room: Room, start: Callable[..., Any]) -> None:
    """Three bots play it, and the room's transcript is that of the original."""
    parts = [f"example:demonstration-{number}" for number in (1, 2, 3)]
    bots = [start(room, "--script", parts[0])]
    room.console_until("Nobody there")
    bots.append(start(room, "--script", parts[1]))
    room.console_until("nice to meet you")
    bots.append(start(room, "--script", parts[2]))
    lines = room.console_until(r"\(0 user online\)")
    names = [line.split()[3] for line in lines if line.startswith("> New user")]
    transcript = "\n".join(lines[1:])
    for number, name in enumerate(names, 1):
        transcript = transcript.replace(name, f"127.0.0.1:{number}")
    assert transcript.split("\n") == [
        "> New user 127.0.0.1:1 entered (1 user online)",
        "[127.0.0.1:1] Hi, I am User1. I am the first.",
        "[127.0.0.1:1] Nobody there?",
        "> New user 127.0.0.1:2 entered (2 users online)",
        "[127.0.0.1:2] Hi, I am User2. Who are you?",
        "[127.0.0.1:1] Oh, nice to meet you. I am User1.",
        "> New user 127.0.0.1:3 entered (3 users online)",
        "[127.0.0.1:3] Hello, I am User3. Am I late?",
        "[127.0.0.1:1] 저는 이제 나가볼게요. ㅎㅎ",
        "< The user 127.0.0.1:1 left (2 users online)",
        "[127.0.0.1:2] 아 뭐야... 나갔네...",
        "[127.0.0.1:2] 나도 나가야지",
        "< The user 127.0.0.1:2 left (1 user online)",
        "< The user 127.0.0.1:3 left (0 user online)",
    ]
    assert [end(bot)[::2] for bot in bots] == [(0, "")] * 3


def test_the_greeter(room: Room, start: Callable[..., Any]) -> None:
    """Who enters is greeted by name."""
    first = room.peer()
    bot = start(room, "--script", "example:greeter")
    first.until("entered")
    guest = room.peer()
    assert guest.until("Welcome")[-1].endswith(f"] Welcome, {guest.name}! We are 3 now. /help lists the commands.")
    bot.send_signal(signal.SIGINT)
    assert end(bot)[0] == 130


def test_the_trivia(room: Room, start: Callable[..., Any]) -> None:
    """Wrong answers are passed over, right ones lead on, and the winner is named."""
    quick, slow = room.peer(), room.peer()
    bot = start(room, "--script", "example:trivia")
    for question, answers in ((r"1\. ", ["30", "20"]), (r"2\. ", ["Busan?", "서울"]), (r"3\. ", ["epoll", "SELECT"])):
        quick.until(question)
        quick.say(*answers)
        assert slow.until("Right")[-1].split("] ")[1].startswith(f"Right, {quick.name}!")
    assert end(bot)[::2] == (0, "")


def test_the_smoke_test(room: Room, start: Callable[..., Any]) -> None:
    """It passes on a good server, and says what is missing where two bots cannot meet."""
    result = play(room, "example:smoke", "--bots", "2", "--timeout", "60", "-q")
    assert (result.returncode, result.stderr) == (0, "")
    text = (EXAMPLES / "smoke.chat").read_text().replace("within 20", "within 0.2")
    result = run("bot", "127.0.0.1", str(room.port), "--script", "-", "-q", input=text)
    assert result.returncode == 3
    assert result.stderr == "chatctl bot: stdin:5: not 2 users within 0.2 s: there are 1\n"


def test_every_example_is_known() -> None:
    """Each is understood, played by a test here, and listed where one is asked for that is not there."""
    names = sorted(f"example:{path.stem}" for path in EXAMPLES.iterdir())
    wrong = run("bot", "--check", "--script", "example:nonesuch")
    assert wrong.stderr == f"chatctl bot: no example is called 'example:nonesuch': there are {', '.join(names)}\n"
    assert (wrong.returncode, wrong.stdout) == (2, "")
    played = Path(__file__).read_text()
    for name in names:
        assert run("bot", "--check", "--script", name).returncode == 0
        assert f'"{re.sub("-[0-9]", "-{number}", name)}"' in played


def test_the_timeout(room: Room, script: Callable[[str], str]) -> None:
    """It ends a run that has no end, with 124 and the place."""
    path = script("send a\nstay")
    result = play(room, path, "--timeout", "0.5", "--bots", "2")
    assert result.returncode == 124
    assert result.stderr == f"chatctl bot: not done within 0.5 s: bot 1 is at {path}:2\n"


def test_the_timeout_bounds_the_reading_too(room: Room) -> None:
    """A script that does not come is not waited for."""
    with subprocess.Popen(
        [*COMMAND, "bot", "127.0.0.1", str(room.port), "--script", "-", "--timeout", "0.5"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as bot:
        assert bot.wait(PATIENCE) == 124
        assert bot.stderr
        assert bot.stderr.read() == "chatctl bot: not done within 0.5 s\n"


def test_memory_of_a_fast_pipe(room: Room, start: Callable[..., Any]) -> None:
    """A pipe is read no faster than its lines are said, also where they are to be said again."""
    with subprocess.Popen(["yes", "x" * 100], stdout=subprocess.PIPE) as pipe:
        bot = subprocess.Popen(
            [*COMMAND, "bot", "127.0.0.1", str(room.port), "--repeat", "2", "--rate", "10"],
            stdin=pipe.stdout,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        try:
            assert bot.stdout
            for _ in range(10):
                shown(bot.stdout, "[You] x")
            assert psutil.Process(bot.pid).memory_info().rss < 60_000_000
        finally:
            for process in (bot, pipe):
                process.kill()
                process.communicate()


def test_more_bots_than_descriptors(script: Callable[[str], str]) -> None:
    """They are told before any connection that the limit is too low."""
    command = [*COMMAND, "bot", "127.0.0.1", "9", "--script", script("stay"), "--bots", "500"]
    result = subprocess.run(
        ["sh", "-c", 'ulimit -n 300; exec "$@"', "sh", *command], capture_output=True, text=True, env=environment()
    )
    assert result.returncode == 1
    assert result.stderr == "chatctl bot: 500 bots need 564 descriptors, but 300 is the limit: ulimit -n\n"


def test_ctrl_c_twice(room: Room, start: Callable[..., Any], script: Callable[[str], str]) -> None:
    """A second one in the middle of the end is no traceback."""
    bot = start(room, "--script", script("users 300 within 60\nsend in\nstay"), "--bots", "300")
    shown(bot.stdout, "[You] in")
    bot.send_signal(signal.SIGINT)
    bot.send_signal(signal.SIGINT)
    _, errors = bot.communicate(timeout=PATIENCE)
    assert bot.returncode in (130, -signal.SIGINT)
    assert errors == ""


@pytest.mark.parametrize(("arguments", "status"), [(["--timeout", "1"], 124), ([], 130)])
def test_an_output_that_nobody_reads(
    room: Room, start: Callable[..., Any], arguments: list[str], status: int, script: Callable[[str], str]
) -> None:
    """A bot that is stuck in a write can be ended as well."""
    peer = room.peer()
    bot = start(room, "--script", script("stay"), *arguments)
    peer.until("entered")
    for _ in range(300):
        peer.say("x" * 1000)
    peer.fence()
    if status == 130:
        bot.send_signal(signal.SIGINT)
    assert bot.wait(PATIENCE) == status


def test_a_server_that_goes_away(room: Room, start: Callable[..., Any], script: Callable[[str], str]) -> None:
    """It is an error while there is something to do, with the place; and it is none when all was done."""
    path = script("send a\nstay")
    staying = start(room, "--script", path)
    leaving = start(room, "--script", "-", "--timeout", "60")
    assert end(leaving)[0] == 0
    content = start(room, "--script", script("expect shutting down within 60"))
    shown(staying.stdout, "[You]")
    shown(content.stdout, "Connected")
    room.signal(signal.SIGTERM)
    assert end(staying)[::2] == (1, f"chatctl bot: {path}:2: the server went away\n")
    assert end(content)[::2] == (0, "")


@pytest.mark.parametrize(
    ("before", "answer", "shown", "me"),
    [
        ("on /./ send heard it", ["! 2 users online", "! a:1", "! 192.0.2.7:5000 (you)"], [], "192.0.2.7:5000"),
        ("expect such within 20", ["[a:1] hi", "! no such command"], ["[a:1] hi", "! no such command"], None),
    ],
)
def test_another_address(
    program: Callable[..., Program],
    script: Callable[[str], str],
    before: str,
    answer: list[str],
    shown: list[str],
    me: str | None,
) -> None:
    """Behind NAT {me} is what the room says; where it does not say, it is the own address, and nothing is swallowed."""
    bot = program("bot", "--script", script(f"{before}\nsend I am {{me}}"), "--json")
    bot.be_plain()
    bot.tell(WELCOME)
    assert bot.hear() == "/who"
    bot.tell(*answer)
    said = f"I am {me or ':'.join(map(str, bot.sock.getpeername()))}"
    assert bot.hear() == said
    bot.tell(f"[You] {said}")
    bot.said.close()
    bot.sock.shutdown(socket.SHUT_WR)
    status, lines, _ = bot.end()
    texts = [json.loads(line)["text"] for line in lines]
    assert (status, texts) == (0, ["", *(line.split(maxsplit=1)[1] for line in shown), said])


@pytest.mark.parametrize(("text", "users"), [("send I am {bot}", 1), ("send I am {me}", 201)])
def test_who_does_not_ask(program: Callable[..., Program], script: Callable[[str], str], text: str, users: int) -> None:
    """A bot begins at once when its script does not need its name, or the room is too large to ask for it."""
    bot = program("bot", "--script", script(text))
    bot.tell(f"> Connected to the chat server ({users} users online)")
    assert bot.hear().startswith("I am ")


def test_reconnecting(program: Callable[..., Program], listening: socket.socket, script: Callable[[str], str]) -> None:
    """A script goes on where it was, over another connection; what was lost is not said twice, but missing."""
    path = script("send a\nexpect go within 20\nsend b\nexpect own b")
    bot = program("bot", "--script", path, "--reconnect")
    bot.be_plain()
    bot.tell(WELCOME)
    assert bot.hear() == "a"
    bot.hang_up()
    bot.meet(listening)
    bot.tell(WELCOME, "[a:1] go")
    assert bot.hear() == "b"
    bot.tell("[You] b")
    assert bot.hear() == ""
    bot.hang_up()
    status, lines, errors = bot.end()
    assert lines == [WELCOME, WELCOME, "[a:1] go", "[You] b"]
    assert re.match(r"chatctl bot: the server went away: again in [12] s\n", errors)
    assert errors.endswith("chatctl bot: 1 of 2 lines were not echoed\n")
    assert status == 3


def test_speaking_while_there_is_no_connection(
    program: Callable[..., Program], listening: socket.socket, script: Callable[[str], str]
) -> None:
    """What is said meanwhile is said over the next connection, in order."""
    path = script("send a\nwait 0.3\nsend b\nsend c\nstay 0.2\nsend d")
    bot = program("bot", "--script", path, "--reconnect", "--wait-for-echo")
    bot.be_plain()
    bot.tell(WELCOME)
    assert bot.hear() == "a"
    bot.tell("[You] a")
    bot.hang_up()
    bot.meet(listening)
    bot.tell(WELCOME)
    for line in "bcd":
        assert bot.hear() == line
        bot.tell(f"[You] {line}")
    assert bot.hear() == ""
    bot.hang_up()
    status, _, errors = bot.end()
    assert (status, errors.count("\n")) == (0, 1)


def test_reconnecting_before_there_is_a_server(script: Callable[[str], str]) -> None:
    """With --reconnect a server that is not there yet is waited for; one that sends the bot away is not."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with subprocess.Popen(
        [*COMMAND, "bot", "127.0.0.1", str(port), "--script", script("stay"), "--reconnect"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as bot:
        assert bot.stderr
        assert "Connection refused" in bot.stderr.readline()
        with socket.create_server(("127.0.0.1", port)) as listening:
            peer, _ = listening.accept()
            with peer:
                assert peer.recv(100) == b"/json\n"
                peer.sendall(f"{WELCOME}\n! kicked\n".encode())
        assert bot.wait(PATIENCE) == 1
        assert bot.stderr.read().endswith("a.chat:1: the server went away\n")


def test_progress(room: Room, window: Callable[..., Window], script: Callable[[str], str]) -> None:
    """A long run shows on a terminal how far it is, and leaves nothing of that behind."""
    path = script("repeat 2\nsend a\nwait 1.2\nend")
    bot = window("bot", "127.0.0.1", str(room.port), "--script", path)
    bot.process.expect(r"\d of 4 steps, \d lines? sent, 0:0\d left")
    assert bot.end() == 0
    assert bot.screen() == [WELCOME, "[You] a", "[You] a"]


def test_no_progress_where_somebody_types(room: Room, window: Callable[..., Window]) -> None:
    """Nothing is drawn over a line that is being typed."""
    bot = window("bot", "127.0.0.1", str(room.port), "--timeout", "1.8", echo=True)
    bot.until("online)")
    bot.process.send("half a line")
    assert bot.end() == 124
    assert bot.screen() == [WELCOME, "half a linechatctl bot: not done within 1.8 s"]


def test_no_progress_in_a_pipe(room: Room, script: Callable[[str], str]) -> None:
    """Where stderr is no terminal, nothing is drawn."""
    assert play(room, script("wait 1.5")).stderr == ""
