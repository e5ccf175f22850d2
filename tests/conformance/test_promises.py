"""The eight promises, one by one."""

import concurrent.futures
import contextlib
import itertools
import re
import signal
import socket
import threading
import time

import pytest

from chatctl.room import endings
from chatctl.room.door import MORE
from chatctl.room.limits import Limits
from chatctl.server import base, listener
from tests.conformance.conftest import Launch, Start
from tests.rooms import AnyRoom, Peer, Room, ThreadRoom, chat, gather

MIB = 1024 * 1024
NOTICE = re.compile(r"[><] .* \((\d+) users? online\)")


def said(peer: Peer, lines: list[str]) -> list[str]:
    """What a member saw said, its own lines under its name."""
    return [line.replace("[You]", f"[{peer.name}]", 1) for line in chat(lines)]


def test_one_order(room: ThreadRoom) -> None:
    """Five who talk at the same time see all lines in the same order, each sender's in the order they were sent."""
    peers = room.peers(5)
    for peer in peers:
        peer.say(*(f"line {number} of {peer.name}" for number in range(300)))
    gather(peers, lambda peer: len(chat(peer.lines)) == 1500)
    transcripts = [said(peer, peer.lines) for peer in peers]
    assert all(transcript == transcripts[0] for transcript in transcripts)
    for peer in peers:
        mine = [line for line in transcripts[0] if line.startswith(f"[{peer.name}]")]
        assert mine == [f"[{peer.name}] line {number} of {peer.name}" for number in range(300)]


def test_whole_lines(room: ThreadRoom) -> None:
    """Lines that come in pieces, cut inside code points, are relayed whole, one by one, never mixed."""
    first, second, third = room.peers(3)
    pieces = [f"가나다 {number} 👩‍💻\n".encode() for number in range(100)]
    streams = [b"".join(pieces), b"".join(reversed(pieces))]
    for at in range(0, len(streams[0]), 5):
        first.send(streams[0][at : at + 5])
        second.send(streams[1][at : at + 5])
    gather([third], lambda peer: len(chat(peer.lines)) >= 200)
    lines = chat(third.lines)
    assert [line for line in lines if first.name in line] == [f"[{first.name}] 가나다 {n} 👩‍💻" for n in range(100)]
    assert [line for line in lines if second.name in line] == [
        f"[{second.name}] 가나다 {n} 👩‍💻" for n in range(99, -1, -1)
    ]
    assert len(lines) == 200


def test_answers_keep_their_place(start: Start) -> None:
    """A question behind thousands of lines is answered behind their echoes, however often the socket fills up."""
    room = start("--max-lag", str(64 * MIB))
    talker, asker = room.peers(2)
    for number in range(60):
        asker.send(b"x\n" * 8_000 + b"/x\nline %d\n" % number)
        talker.until(rf"\] line {number}$")
    asker.half_close()
    answer = "! no such command: /x (try /help; //text says /text)"
    expected = [["[You] x"] * 8_000 + [answer, f"[You] line {number}"] for number in range(60)]
    assert asker.rest() == list(itertools.chain.from_iterable(expected))


def test_exact_counts(room: ThreadRoom) -> None:
    """The number in a notice is the number of members at that point of the order; it steps by one."""
    watcher = room.peer()
    guests = [room.peer() for _ in range(20)]
    for guest in guests[::2]:
        guest.reset()
    for guest in guests[1::2]:
        guest.half_close()
    lines = watcher.until(r"left \(1 user online\)")
    counts = [int(match[1]) for line in lines if (match := NOTICE.fullmatch(line))]
    assert len(counts) == 40
    users = 1
    for line, count in zip(lines, counts, strict=True):
        users += 1 if line.startswith(">") else -1
        assert count == users
    assert watcher.fence() == []


def stall(room: AnyRoom) -> Peer:
    """A member that never reads, with as little room for what it does not read as the kernel allows."""
    return room.peer(receive_buffer=2048)


def echoed(talker: Peer, *lines: str) -> float:
    """Seconds until a member has what it says back."""
    asked = time.monotonic()
    talker.say(*lines)
    talker.until(rf"^\[You\] {re.escape(lines[-1])}$")
    return time.monotonic() - asked


@pytest.mark.parametrize("lines", [2_000, pytest.param(20_000, marks=[pytest.mark.full, pytest.mark.timeout(300)])])
def test_stalled_member_delays_nobody(launch: Launch, lines: int) -> None:
    """Twenty take all lines of 1 KB while one reads nothing: it is cut, the talker never waits for its echo."""
    room = launch()
    talker, *others = room.peers(21)
    text = "x" * 1000

    def talk() -> list[float]:
        """How long each echo took: of twenty lines a time, which the others have got before the next ones."""
        waits: list[float] = []
        for number in range(0, lines, 20):
            waits.append(echoed(talker, *(f"{n} {text}" for n in range(number, number + 20))))
            last = f"[{talker.name}] {number + 19} {text}"
            gather(others, lambda peer, last=last: last in peer.lines)  # type: ignore[misc]
            for peer in others:
                mine = chat(peer.lines)
                assert [line.split()[1] for line in mine] == [str(n) for n in range(number, number + 20)]
                peer.lines = [line for line in peer.lines if line not in mine]
        return waits

    alone = talk()
    before = room.memory()
    stalled = stall(room)
    together = talk()
    assert max(together) < sum(alone)
    assert sum(together) < 3 * sum(alone)
    assert room.memory() - before < 64 * MIB
    if lines > 5_000:
        for peer in others:
            peer.until(rf"^< The user {re.escape(stalled.name)} left \(21 users online\)")


def test_stalled_member_is_cut(start: Start) -> None:
    """A member that falls further behind than --max-lag is cut, the others are told, and the log says why."""
    room = start("--max-lag", "65536")
    talker = room.peer()
    stalled = stall(room)
    block = "y" * 4000
    for number in itertools.count():
        talker.say(*[f"{number} {block}"] * 50)
        talker.until(rf"^\[You\] {number} ")
        if any(stalled.name in line and "left (1 user online)" in line for line in talker.fence()):
            break
        assert number < 1000
    assert f"{stalled.name} went: fell behind" in room.ended()


def test_flooding_dribbling_and_resetting_members_delay_nobody(room: ThreadRoom) -> None:
    """Echoes stay prompt while others flood without reading, send single bytes, and come and go by reset."""
    talker = room.peer()
    alone = [echoed(talker, f"alone {number}") for number in range(600)]
    flooder, dribbler = room.peer(), room.peer()
    flooder.sock.setblocking(False)
    together: list[float] = []
    for number in range(60):
        with contextlib.suppress(BlockingIOError, ConnectionError):
            flooder.sock.send(b"flood " * 700 + b"\n" + b"/who\n" * 100)
        dribbler.send(b"d")
        room.peer().reset()
        together.append(echoed(talker, f"number {number}"))
    assert max(together) < sum(alone)


def test_last_words(room: ThreadRoom) -> None:
    """A last line without a newline counts at a half-close, and the leaver gets all it is owed before the end."""
    listener, leaver = room.peers(2)
    leaver.send(b"one\ntwo")
    leaver.half_close()
    assert leaver.rest() == ["[You] one", "[You] two"]
    assert listener.until("left")[-3:] == [
        f"[{leaver.name}] one",
        f"[{leaver.name}] two",
        f"< The user {leaver.name} left (1 user online)",
    ]


def test_cut_line_is_dropped_on_reset(room: ThreadRoom) -> None:
    """What has no newline yet is not said when the link is reset; what has one is."""
    listener, leaver = room.peers(2)
    leaver.send(b"whole\nhal")
    leaver.until(r"^\[You\] whole$")
    leaver.reset()
    lines = listener.until("left")
    assert lines[-2:] == [f"[{leaver.name}] whole", f"< The user {leaver.name} left (1 user online)"]


def test_cut_lines_are_dropped_while_others_talk(room: ThreadRoom) -> None:
    """The same when it is the sending side that meets the reset first."""
    talker, listener = room.peers(2)
    for number in range(150):
        leavers = [room.peer() for _ in range(4)]
        for leaver in leavers:
            leaver.send(b"hal")
        talker.say(*["x"] * 50)
        for leaver in leavers:
            leaver.reset()
        talker.say(*["x"] * 50, f"round {number}")
        talker.until(rf"^\[You\] round {number}$")
    assert not any(line.endswith("] hal") for line in listener.until(r"\] round 149$"))


def test_nothing_accepted_is_lost_at_shutdown(room: ThreadRoom) -> None:
    """Whatever the sender saw accepted when the server was stopped, everybody who stayed has got."""
    talker, *others = room.peers(4)
    talker.say(*(f"line {number}" for number in range(20_000)))
    talker.until(r"^\[You\] line 0$")
    room.end()
    peers = [talker, *others]
    gather(peers, lambda peer: False)
    transcripts = [said(peer, peer.lines) for peer in peers]
    assert transcripts[0] == transcripts[1][1:] == transcripts[2][1:] == transcripts[3][1:]
    assert len(transcripts[1]) > 1
    for peer in peers:
        assert peer.lines[-1] == "! server shutting down"
        peer.close()
    assert room.wait() == 0


def test_outlets_are_woken_in_a_burst(room: ThreadRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much comes at once, the console and the transcript hear of it long before the window has passed."""
    peers = room.peers(20)
    text = "".join(f"{'x' * 999}\n" for _ in range(300))
    tips = [0]
    with room.held() as server:
        log, wake = server.room.ledger.log("text"), server.wake_outlets

        def woken() -> None:
            tips.append(log.tip)
            wake()

        monkeypatch.setattr(server, "wake_outlets", woken)
        for peer in peers:
            peer.send(text)
    gather(peers, lambda peer: len(chat(peer.lines)) >= 20 * 300)
    peers[0].say("that was it")
    room.console_until("that was it$")
    assert log.tip > 20 * 300 * 1000
    assert max(after - before for before, after in itertools.pairwise(tips)) < Limits().max_lag * 3 // 4


@pytest.mark.parametrize("members", [60, pytest.param(500, marks=[pytest.mark.full, pytest.mark.timeout(300)])])
def test_slow_readers_cost_no_memory(process: Room, members: int) -> None:
    """Slow readers that stopped at as many different places of the log grow the server by less than 64 MB."""
    talker = process.peer()
    slow: list[Peer] = []
    before = process.memory()
    for number in range(members):
        slow.append(stall(process))
        talker.say(f"{number} {'z' * 1000}")
        talker.until(rf"^\[You\] {number} ")
    for number in range(3 * 1024):
        talker.say(f"more {number} {'z' * 1000}")
        talker.until(rf"^\[You\] more {number} ")
    for peer in slow:  # each takes a little, so that the server holds a piece of the log of its own for each
        for _ in range(300):
            peer.sock.recv(4096)
    assert talker.fence() == []  # nobody was cut: they are all still inside the window
    assert process.memory() - before < 64 * MIB


@pytest.mark.parametrize("size", [32, pytest.param(256, marks=[pytest.mark.full, pytest.mark.timeout(300)])])
def test_endless_line_costs_no_memory(process: Room, size: int) -> None:
    """MiBs without a newline are thrown away: one answer, less than 16 MB of memory, and the connection stays."""
    talker = process.peer()
    talker.fence()
    before = process.memory()
    for _ in range(size):
        talker.send(b"x" * MIB)
    talker.send(b"\n")
    assert talker.fence() == ["! line too long, not sent: it may have 4096 bytes"]
    assert process.memory() - before < 16 * MIB


def test_a_flood_of_commands_delays_nobody(room: ThreadRoom) -> None:
    """Five who send nothing but commands, and read the answers, hold nobody up for long."""
    talker, *flooders = room.peers(6)

    def flooded(number: int, flooders: list[Peer]) -> float:
        for flooder in flooders:
            flooder.send(b"/\n" * 1_000)
        waited = echoed(talker, f"number {number}")
        gather(flooders, lambda peer: f"[{talker.name}] number {number}" in peer.lines)
        for flooder in flooders:
            flooder.lines.clear()
        return waited

    one = [flooded(number, flooders[:1]) for number in range(20)]
    for flooder in flooders[1:]:
        flooder.until("number 19$")
    five = [flooded(number, flooders) for number in range(20, 40)]
    assert max(five) < 2 * sum(one)


def test_unread_answers_cost_no_memory(process: Room) -> None:
    """Twenty who ask without end and read nothing grow the server by less than 16 MB."""
    talker, *askers = process.peers(21)
    before = process.memory()
    for asker in askers:
        asker.sock.settimeout(0.2)
        with contextlib.suppress(OSError):  # it is cut, or not read any more
            for _ in range(20):
                asker.send(b"/x\n" * 8_000)
    assert all("left" in line for line in talker.fence())
    assert process.memory() - before < 16 * MIB


def test_chunk_of_commands_cuts_its_sender(process: Room) -> None:
    """Who sends nothing but commands, and reads none of the answers, is cut; the server is not."""
    talker, asker = process.peers(2)
    process.peers(200)
    talker.fence()
    before = process.memory()
    asker.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    asker.send(b"/who\n" * 26_000)
    talker.until(rf"^< The user {re.escape(asker.name)} left")
    assert process.memory() - before < 32 * MIB
    assert talker.fence() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_well(process: Room, number: signal.Signals) -> None:
    """A signal ends the server: everybody is told, then gets an orderly end, and the exit status is 0."""
    peers = process.peers(3)
    process.signal(number)
    for peer in peers:
        lines = peer.rest()
        assert lines[-1] == "! server shutting down"
        assert not any("left" in line for line in lines)
        peer.close()
    assert process.wait() == 0
    assert process.stderr == ""


def test_ends_within_two_seconds(room: ThreadRoom) -> None:
    """A member that does not read holds the shutdown up for two seconds at most, as this machine waits for them."""
    talker = room.peer()
    stalled = stall(room)
    for number in range(2_000):
        talker.say(f"{number} {'x' * 1000}")
        talker.until(rf"^\[You\] {number} ")
    two_seconds: list[float] = []
    asked = time.monotonic()
    clock = threading.Timer(2.0, lambda: two_seconds.append(time.monotonic() - asked))
    clock.start()
    room.end()
    assert talker.rest() == ["! server shutting down"]
    talker.close()
    assert room.wait() == 0
    took = time.monotonic() - asked
    clock.join()
    assert took < 1.5 * two_seconds[0]
    stalled.close()


def test_asked_twice_it_ends_at_once(room: ThreadRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not want to wait for those two seconds, which are an hour here, says so again."""
    monkeypatch.setattr(base, "SHUTDOWN", 3600.0)
    monkeypatch.setattr(endings, "SHUTDOWN", 3600.0)
    stalled = room.peer()
    room.end()
    assert stalled.until("shutting down")
    room.end()
    assert room.wait() == 0


def test_finished_members_get_what_was_sent_before_the_end(room: ThreadRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads on only after the shutdown still gets all that was sent to it before, and an orderly end."""
    monkeypatch.setattr(base, "SHUTDOWN", 0.5)  # it waits for who does not read
    monkeypatch.setattr(endings, "SHUTDOWN", 0.5)
    talker, late = room.peers(2)
    for number in range(1_000):
        talker.say(f"{number} {'x' * 1000}")
        talker.until(rf"^\[You\] {number} ")
    room.end()
    talker.rest()
    talker.close()
    assert room.wait() == 0
    lines = late.rest()
    assert [int(line.split()[1]) for line in lines[:-1]] == list(range(1_000))
    assert lines[-1] == "! server shutting down"


def test_asked_twice_with_refused_newcomers(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused newcomers that go on sending do not get in the way of an end at once."""
    monkeypatch.setattr(listener, "_LINGER", 3600.0)
    room = start("--max-users", "1")
    room.peer()
    refused = [room.stranger() for _ in range(16)]
    assert [peer.line() for peer in refused] == ["! server full"] * 16
    room.end()
    for peer in refused:
        with contextlib.suppress(OSError):
            peer.send(b"x" * 100_000)
    room.end()
    assert room.wait() == 0
    assert room.stderr == ""


def test_full_room(start: Start) -> None:
    """The one too many is told so and ended; when somebody leaves there is room again."""
    room = start("--max-users", "2")
    first, second = room.peers(2)
    third = room.stranger()
    third.send(b"hello?\n")
    assert third.rest() == ["! server full"]
    second.half_close()
    first.until("left")
    second.rest()
    room.peer()


def test_members_that_linger_are_bounded(start: Start) -> None:
    """Those who left and do not close take nobody's place, but there is an end to how many of them there can be."""
    room = start("--max-users", "1")
    first = []
    for _ in range(1 + MORE + 3):
        peer = room.stranger()
        first.append(peer.line())
        if first[-1].startswith(">"):
            peer.say("/quit")
            assert peer.rest() == ["! bye"]
    assert first == ["> Connected to the chat server (1 user online)"] * (1 + MORE) + ["! server full"] * 3


def test_no_thread_to_be_had() -> None:
    """When the system gives no more threads, the one too many is told that the room is full, and the others go on."""
    fault = (
        "import _thread, itertools, threading\n"
        "from chatctl.__main__ import main\n"
        "count, start = itertools.count(), _thread.start_new_thread\n"
        "def limited(*arguments):\n"
        '    if next(count) >= 3: raise RuntimeError("can\'t start new thread")\n'
        "    return start(*arguments)\n"
        "_thread.start_new_thread = limited\n"
        "main()"
    )
    room = Room("threads", program=("-c", fault))
    peers = room.peers(3)
    with room.stranger() as fourth:
        assert fourth.rest() == ["! server full"]
    assert peers[0].fence() == []
    room.stop()
    assert "can't start new thread" in room.stderr


def test_out_of_descriptors(launch: Launch) -> None:
    """Without descriptors those inside go on, the processor rests, and newcomers enter again when some are free."""
    room = launch("--max-users", "1000", descriptors=40)
    inside: list[Peer] = []
    refused: list[str] = []
    while not refused:
        peer = room.stranger()
        first = peer.line()
        if first.startswith("!"):
            refused.append(first)
        else:
            inside.append(peer)
    assert refused == ["! server full"]
    assert 20 < len(inside) < 40
    outside = [room.stranger() for _ in range(5)]
    assert [peer.line() for peer in outside] == ["! server full"] * 5
    without = _spent(room, inside[0])
    inside.pop().close()
    inside[0].until("left")
    assert room.next_in().fence() == []
    assert without < 2 * _spent(room, inside[0])


def _spent(room: Room, talker: Peer) -> float:
    """Seconds of the processor that a server takes for some lines."""
    before = room.usage.cpu_times()
    for _ in range(1_000):
        talker.fence()
    after = room.usage.cpu_times()
    return float(after.user + after.system - before.user - before.system)


def test_few_descriptors(launch: Launch) -> None:
    """With 72 descriptors, eight of them for a store, forty who come at the same time are in, and talk.

    When there is no more room, all are told.
    Nobody meets the limit itself: the log has no word of it.
    """
    room = launch("-v", descriptors=72)
    with concurrent.futures.ThreadPoolExecutor(40) as together:
        members = list(together.map(lambda _: room.peer(), range(40)))
    for peer in members:
        peer.say(f"I am {peer.name}")
    words = {f"[{peer.name}] I am {peer.name}" for peer in members}
    gather(members, lambda peer: len(chat(peer.lines)) == len(members))
    assert all(set(said(peer, peer.lines)) == words for peer in members)
    while (first := room.stranger().line()) != "! server full":
        assert first.startswith("> Connected")
    assert [room.stranger().rest() for _ in range(7)] == [["! server full"]] * 7
    room.stop()  # the log is whole then
    assert "descriptors" not in room.stderr


@pytest.mark.parametrize("visits", [300, pytest.param(3_000, marks=[pytest.mark.full, pytest.mark.timeout(300)])])
def test_coming_and_going(room: ThreadRoom, visits: int) -> None:
    """After thousands that came and went, a third by reset, counts, descriptors and threads are exact."""
    watcher = room.peer()
    for _ in range(visits // 3):
        first, second, third = room.stranger(), room.stranger(), room.stranger()
        first.send(b"hi\n")
        first.reset()
        second.half_close()
        third.send(b"bye\n/quit\n")
        for peer in (second, third):
            peer.rest()
            peer.close()
    ups = downs = 0
    while downs < visits:
        line = watcher.line()
        notice = NOTICE.fullmatch(line)
        if notice:
            ups, downs = ups + line.startswith(">"), downs + line.startswith("<")
            assert int(notice[1]) == 1 + ups - downs
    assert ups == visits
    assert line.endswith("left (1 user online)")
    room.assert_clean()
