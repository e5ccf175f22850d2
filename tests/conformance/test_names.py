"""What members are called, what they tell one another alone, and whom they do not want to hear."""

import re
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from chatctl.layers import tls
from tests.conformance.conftest import Launch, Start
from tests.rooms import PATIENCE, Certificates, Peer, Room, ThreadRoom, gather


def rename(peer: Peer, name: str) -> str:
    """Ask for a name, and return the answer."""
    peer.say(f"/nick {name}")
    return peer.until("^!")[-1]


def test_a_name_holds_for_everybody(room: ThreadRoom) -> None:
    """The others are told, and from then on every line of it has the name; so has the console."""
    first, second = room.peers(2)
    assert rename(first, "김철수") == "! you are 김철수 now"
    first.say("hi", "/me waves", "/who")
    assert second.line() == f"= The user {first.name} is now 김철수"
    assert [second.line(), second.line()] == ["[김철수] hi", "* 김철수 waves"]
    assert first.until(r"! \d")[-3:] == ["[You] hi", "* 김철수 waves", "! 2 users online"]
    assert [first.line(), first.line()] == [f"! 김철수 {first.name} (you)", f"! {second.name}"]
    first.half_close()
    assert second.line() == "< The user 김철수 left (1 user online)"
    assert room.console_until("김철수 left")[-4:] == [
        f"= The user {first.name} is now 김철수",
        "[김철수] hi",
        "* 김철수 waves",
        "< The user 김철수 left (1 user online)",
    ]


def test_what_was_said_before(room: ThreadRoom) -> None:
    """Whoever asks is shown it, with dates that are today's, in one piece while others talk."""
    first, second = room.peers(2)
    rename(first, "alice")
    first.say("one", "/me waves")
    first.until("waves")
    late = room.peer()
    late.say("/history 2")
    frame = late.until("that was the history")
    assert [frame[-4].split(" of ")[0], frame[-1]] == ["! 2", "! that was the history"]
    assert [re.sub(r"\d+", "#", line) for line in frame[-3:-1]] == [
        "| #-#-# #:# [alice] one",
        "| #-#-# #:# * alice waves",
    ]
    written = datetime.fromisoformat(frame[-2][2:18])
    assert abs(datetime.now() - written) < timedelta(hours=1)
    first.say(*(f"live {number}" for number in range(50)))
    late.say("/search WAVES")
    found = late.until("that was the history")
    assert [found[-3].split(" of ")[0], found[-2]] == ["! 1", frame[-2]]
    assert second.fence()[-50:] == [f"[alice] live {number}" for number in range(50)]


REFUSED = {
    "alice": "alice is taken",
    "ALICE": "alice is taken",
    "аӏісе": "аӏісе looks like alice, who is here",
    "a1ice": "a1ice looks like alice, who is here",
    "ｙｏｕ": "you is nobody's name",
    "[x]": "a name has 1 to 20 letters, digits, - _ . and begins with a letter",
    "127.0.0.1": "a name has 1 to 20 letters, digits, - _ . and begins with a letter",
    "a:1": "a name has 1 to 20 letters, digits, - _ . and begins with a letter",
    "\u3164": "a name has 1 to 20 letters, digits, - _ . and begins with a letter",
}


def test_names_that_cannot_be_had(room: ThreadRoom) -> None:
    """Nobody passes for another: what is the same or looks alike is refused, and nobody else sees that."""
    first, second = room.peers(2)
    rename(first, "alice")
    second.until("is now alice")
    assert [rename(second, name) for name in REFUSED] == [f"! {why}" for why in REFUSED.values()]
    assert first.fence() == []


@pytest.mark.parametrize("name", ["김철수", "ユーザー", "佐々木", "Ali", "Nguyễn", "ქეთი"])
def test_names_of_all_languages(room: ThreadRoom, name: str) -> None:
    """People are called as they are in their languages."""
    first, second = room.peers(2)
    assert rename(second, name) == f"! you are {name} now"
    assert first.line() == f"= The user {second.name} is now {name}"


def test_what_nick_answers(room: ThreadRoom) -> None:
    """What one is called, the same again, other capitals, and too many of them."""
    peer = room.peer()
    assert rename(peer, "") == f"! you are {peer.name}: /nick NAME gives you a name"
    assert rename(peer, "bob") == "! you are bob now"
    assert rename(peer, "") == rename(peer, "bob") == "! you are bob"
    assert rename(peer, "Bob") == "! you are Bob now"
    assert [rename(peer, name) for name in ("a", "b", "c")] == [f"! you are {name} now" for name in ("a", "b", "c")]
    assert re.fullmatch(r"! five names a minute are enough: wait (60|59|5\d) s", rename(peer, "d"))


def test_bans_go_by_the_address(start: Start) -> None:
    """A name is no address: who has one counts where it comes from, and is ended by nobody else's ban."""
    room = start("--max-per-ip", "5")
    for number in range(1_000):
        with room.next_in() as peer:
            peer.say(f"/nick n{number}")
            peer.until("now")
    room.next_in().fence()


def test_actions_pass_for_nothing_else(room: ThreadRoom) -> None:
    """What is done or said stands behind its own head and its doer's name."""
    first, second = room.peers(2)
    rename(first, "mallory")
    first.say("/me is now bob (9 users online)", "| 2026-01-01 00:00 [bob] hi", "/me")
    assert second.until("bob. hi")[-2:] == [
        "* mallory is now bob (9 users online)",
        "[mallory] | 2026-01-01 00:00 [bob] hi",
    ]
    assert first.until("^!.*/me")[-1] == "! say /me TEXT"


def test_private_lines(room: ThreadRoom) -> None:
    """Two see them, and nobody else: not a third, not the console."""
    first, second, third = room.peers(3)
    rename(first, "alice")
    rename(second, "bob")
    first.say("/msg BOB psst [x] y", f"/msg {third.name}  hey")
    assert first.until("hey")[-2:] == ["(You to bob) psst [x] y", f"(You to {third.name}) hey"]
    second.until("psst")
    assert second.fence() == []
    assert third.until("hey")[-1] == "(alice to You) hey"
    third.fence()
    assert not [line for line in [*third.lines, *room.console] if "psst" in line]


def test_private_lines_that_reach_nobody(room: ThreadRoom) -> None:
    """Each reason has words of its own."""
    first, second = room.peers(2)
    rename(first, "alice")
    rename(second, "bob")
    rename(second, "rob")
    first.until("is now rob")
    first.say("/msg eve x", "/msg bob x", "/msg alice x", "/msg rob", "/msg")
    assert [first.line() for _ in range(5)] == [
        "! nobody here is called eve (see /who)",
        "! nobody here is called bob: bob is now rob",
        "! that is you",
        "! say /msg NAME TEXT",
        "! say /msg NAME TEXT",
    ]


def test_ignoring(room: ThreadRoom) -> None:
    """Whatever somebody says is hidden, under any name and alone too; notices are not, and counts stay exact."""
    first, second, third = room.peers(3)
    rename(first, "mallory")
    second.until("mallory")
    second.say("/ignore mallory", "/ignore 192.0.2.1", "/ignore", "/ignore eve")
    assert second.until("^! nobody") == [
        "! you ignore mallory",
        "! you ignore mallory, 192.0.2.1",
        "! you ignore mallory, 192.0.2.1",
        "! nobody here is called eve (see /who)",
    ]
    first.say("one")
    rename(first, "mal")
    first.say("two", "/me acts", f"/msg {second.name} three")
    assert first.until("three")[-1] == f"(You to {second.name}) three"
    third.until("acts")
    third.say("four")
    assert second.until("four") == ["= The user mallory is now mal", f"[{third.name}] four"]
    second.say("/unignore mal", "/unignore mal")
    assert second.until("not") == ["! you hear mal", "! you do not ignore mal"]
    first.say("five")
    assert second.line() == "[mal] five"
    first.half_close()
    assert second.line() == "< The user mal left (2 users online)"


def test_ignored_lines_cost_a_stalled_member_nothing(process: Room) -> None:
    """Ten thousand of them to one that does not read: they are one gap in what it sees."""
    ignorer, speaker = process.peer(receive_buffer=4096), process.peer()
    speaker.fence()
    ignorer.say(f"/ignore {speaker.name}")
    ignorer.until("you ignore")
    before = process.memory()
    for _ in range(10):
        speaker.say(*["x" * 100] * 1_000)
        speaker.fence()
    assert process.memory() - before < 8_000_000
    assert ignorer.fence() == []


def test_addresses_are_hidden(start: Start) -> None:
    """From members, of those who have a name; never from the operator."""
    room = start("--hide-addresses")
    first, second = room.peers(2)
    rename(first, "alice")
    first.say("/who")
    assert [*first.until("users online")[-1:], first.line(), first.line()] == [
        "! 2 users online",
        "! alice (you)",
        f"! {second.name}",
    ]


def test_unread_private_lines_cost_nobody_an_answer(room: ThreadRoom) -> None:
    """What others tell somebody does not make its own questions be ignored; there is a limit to that."""
    first, second = room.peers(2)
    for _ in range(100):
        first.say(*[f"/msg {second.name} {'x' * 1000}"])
    first.fence()
    second.say("/who")
    assert second.until("users online")[-1] == "! 2 users online"


def test_who_speaks_first_enters_under_its_name(launch: Launch) -> None:
    """``/nick`` as the first line: one notice, under that name, and the answer behind the welcome."""
    room = launch("--greet-delay", "0.05")
    watcher = room.peer()
    if room.context is None:
        words = "/nick ci\nbuild 17 broke\n"
        command = ["nc", "-N", "127.0.0.1", str(room.port)]
        shown = subprocess.run(command, input=words, capture_output=True, text=True, timeout=PATIENCE).stdout
        assert shown.splitlines() == [
            "> Connected to the chat server (2 users online)",
            "! you are ci now",
            "[You] build 17 broke",
        ]
        assert watcher.until("left") == [
            "> New user ci entered (2 users online)",
            "[ci] build 17 broke",
            "< The user ci left (1 user online)",
        ]


def test_a_name_that_cannot_be_had_keeps_nobody_out(start: Start) -> None:
    """It enters under its address, and is told why behind its welcome."""
    room = start("--greet-delay", "0.05")
    first = room.peer()
    rename(first, "alice")
    peer = room.stranger()
    peer.say("/nick a1ice", "hi")
    assert [peer.line() for _ in range(3)] == [
        "> Connected to the chat server (2 users online)",
        "! a1ice looks like alice, who is here",
        "[You] hi",
    ]
    assert first.line() == f"> New user {peer.name} entered (2 users online)"


def test_who_says_nothing_is_greeted(start: Start) -> None:
    """After the delay; and what it does not end with a newline goes on behind that."""
    room = start("--greet-delay", "0.05")
    peer = room.stranger()
    peer.send("hel")
    assert peer.line() == "> Connected to the chat server (1 user online)"
    peer.send("lo\n")
    assert peer.line() == "[You] hello"


def test_visits_without_a_word_are_no_news(start: Start) -> None:
    """A thousand connections that close at once, and a hundred of the web, are announced to nobody."""
    room = start("--greet-delay", "5")
    watcher = room.stranger()
    watcher.say("hi")
    watcher.until("hi")
    for _ in range(100 if room.context is None else 10):
        visitors = [room.stranger() for _ in range(10)]
        for visitor in visitors:
            visitor.half_close()
        for visitor in visitors:
            visitor.rest()
            visitor.close()
    for _ in range(100 if room.context is None else 10):
        with room.stranger() as browser:
            browser.send("GET / HTTP/1.1\r\n\r\n")
            assert browser.rest() == ["! this is a chat server, not a web server"]
    assert watcher.fence() == []


def test_the_silent_miss_nothing(start: Start) -> None:
    """Of two that come together the silent one sees what the speaker says, and they are counted as they came."""
    room = start("--greet-delay", "5")
    for _ in range(200 if room.context is None else 40):
        silent, speaker = room.stranger(), room.stranger()
        speaker.say("hi")
        assert silent.line() == "> Connected to the chat server (1 user online)"
        assert speaker.line() == "> Connected to the chat server (2 users online)"
        assert silent.line() == f"> New user {speaker.name} entered (2 users online)"
        assert silent.line() == f"[{speaker.name}] hi"
        for peer in (speaker, silent):
            peer.half_close()
            peer.rest()
            peer.close()


def test_last_words_without_a_newline(start: Start) -> None:
    """Who closes its end behind a part of a line enters, says it, and leaves."""
    room = start("--greet-delay", "5")
    watcher = room.stranger()
    watcher.say("hi")
    watcher.until("hi")
    with room.stranger() as peer:
        peer.send("bye")
        peer.half_close()
        peer.rest()
    assert watcher.until("left") == [
        f"> New user {peer.name} entered (2 users online)",
        f"[{peer.name}] bye",
        f"< The user {peer.name} left (1 user online)",
    ]


def test_the_delay_begins_behind_the_password(start: Start, tmp_path: Path) -> None:
    """A room with a password asks at once, and a name may follow the right one."""
    file = tmp_path / "password"
    file.write_text("sesame\n")
    room = start("--greet-delay", "5", "--password-file", str(file), password="sesame")
    with room.stranger() as peer:
        assert peer.line() == "! this room needs a password: send it as your first line"
        peer.say("sesame")
        peer.say("/nick ci", "hi")
        assert [peer.line() for _ in range(3)] == [
            "> Connected to the chat server (1 user online)",
            "! you are ci now",
            "[You] hi",
        ]


def test_many_greetings_at_once(start: Start) -> None:
    """Five hundred that say nothing are greeted in the order in which they came, and all are counted."""
    room = start("--greet-delay", "0.2")
    peers = [room.stranger() for _ in range(500)]
    gather(peers, lambda peer: bool(peer.lines))
    counts = [int(peer.line().split("(")[1].split()[0]) for peer in peers]
    assert counts == list(range(1, 501)) if room.context is None else sorted(counts) == list(range(1, 501))


def test_names_from_certificates(start: Start, certificates: Certificates, tmp_path: Path) -> None:
    """With --tls-client-ca a member is called what its certificate says, and nothing else; a second one its address."""
    room = start("--tls-client-ca", str(certificates.authority), certificates=certificates, identity=True)
    identity = tmp_path / "alice.pem"
    issued = certificates.trusted.issue_cert("alice@example.org", common_name="alice")
    issued.private_key_and_cert_chain_pem.write_to_path(identity)
    identity.chmod(0o600)
    context = tls.client_context(str(certificates.authority), str(identity), None)
    watcher = room.peer()  # whose certificate has no name that is one
    first, second = room.peer(context=context), room.peer(context=context)
    assert watcher.line() == "> New user alice entered (2 users online)"
    assert watcher.line() == f"> New user {second.name} entered (3 users online)"
    assert rename(first, "bob") == rename(second, "bob") == "! your name is your certificate's"
    first.say("hi")
    assert watcher.line() == "[alice] hi"
