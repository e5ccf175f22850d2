"""A bot and its connections, in a room that the test plays."""

import asyncio
import socket

import pytest

from chatctl.bot.feed import Feed
from chatctl.bot.interpreter import Interpreter
from chatctl.bot.member import Member
from chatctl.bot.speech import Pace
from chatctl.bot.unread import Memory
from chatctl.peer.comeback import Comeback
from chatctl.peer.connection import Target
from chatctl.peer.looped import Connector
from tests.rooms import PATIENCE


async def end_offline(listening: socket.socket, lines: list[bytes]) -> bool:
    """Whether a bot that has lost its connection ends when its input does, with lines that are still to be said."""
    feed = Feed(keep=False, ask=lambda: None)
    bot = Interpreter(feed, 1, Pace(), memory=Memory(0))
    lost = asyncio.Event()
    member = Member(
        Connector(Target("127.0.0.1", listening.getsockname()[1], None)),
        None,
        bot,
        nick="",
        claim=None,
        reconnect=True,
        show=None,
        note=lambda message: lost.set(),
    )
    running = asyncio.create_task(member.run())
    loop = asyncio.get_running_loop()
    peer, _ = await loop.sock_accept(listening)
    with peer:
        await loop.sock_sendall(peer, b"> Connected to the chat server (1 user online)\n")
    await asyncio.wait_for(lost.wait(), PATIENCE)
    feed.put(lines)
    feed.end(None)
    member.advance()
    done, _ = await asyncio.wait([running], timeout=0.2 if lines else PATIENCE)
    running.cancel()
    return bool(done)


@pytest.mark.parametrize(("lines", "ends"), [([], True), ([b"a"], False)])
def test_the_end_of_the_input_while_offline(monkeypatch: pytest.MonkeyPatch, lines: list[bytes], ends: bool) -> None:
    """Who has nothing more to say does not wait for the next attempt; what is to be said is said over that."""
    monkeypatch.setattr(Comeback, "delay", lambda self, now, final: 1e6)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        assert asyncio.run(end_offline(listening, lines)) is ends
