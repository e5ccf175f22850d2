"""What is typed at a terminal reaches the process in its foreground, and no other."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.rooms import PATIENCE, environment

OPERATED = """
import os, signal, sys, threading, time
from chatctl.server.keyboard import Keyboard

def say(*words):
    print(*words, flush=True)

def look(frame, event, function):
    if event == "c_call" and function.__name__ == "tcgetpgrp":
        say("looked", time.monotonic(), time.thread_time())

signal.signal(signal.SIGTTIN, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if "watched" in sys.argv:
    threading.setprofile(look)
if "surprised" in sys.argv:
    truth, first = os.tcgetpgrp, iter([os.getpgrp()])
    os.tcgetpgrp = lambda descriptor: next(first, None) or truth(descriptor)
Keyboard(0, lambda line: say(line.decode())).start()
for thread in threading.enumerate():
    if thread.name == "keyboard":
        thread.join()
say("the keyboard has ended")
"""
"""Says what is typed. Watched, it also says whenever it looks who has the terminal, with the time and how long it has
computed. Surprised, it believes the first time that it has: it was sent to the background just after that look."""

SHELL = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
job = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], process_group=0)
signal.sigwait([signal.SIGUSR1])
os.tcsetpgrp(0, job.pid)
job.wait()
"""
"""Starts a job in the background; SIGUSR1 brings it to the foreground."""

USABLE = """
import sys
from chatctl.server.keyboard import usable
print(usable(0, int(sys.argv[1])))
"""

CONTROLLED = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
"""


class Terminal:
    """A terminal, and the program that runs in its foreground; what that prints is read apart."""

    def __init__(self, program: str, *arguments: str, controlling: bool = True) -> None:
        self.screen, keyboard = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", (CONTROLLED if controlling else "") + program, *arguments],
            stdin=keyboard,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=environment(),
            text=True,
        )
        os.close(keyboard)

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def line(self) -> str:
        """The next line that was printed."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def hang_up(self) -> None:
        os.close(self.screen)
        self.screen = -1

    def close(self) -> None:
        """Hang up, which ends everything here."""
        if self.screen >= 0:
            self.hang_up()
        self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Run a program in a terminal."""
    terminals: list[Terminal] = []

    def open_terminal(program: str, *arguments: str, controlling: bool = True) -> Terminal:
        terminals.append(Terminal(program, *arguments, controlling=controlling))
        return terminals[-1]

    yield open_terminal
    for opened in terminals:
        opened.close()


def test_lines(terminal: Callable[..., Terminal]) -> None:
    """Lines arrive in order, in any language, the empty ones left out."""
    window = terminal(OPERATED)
    window.type("one\n\n안녕 👋\n")
    assert [window.line(), window.line()] == ["one", "안녕 👋"]


def test_control_characters(terminal: Callable[..., Terminal]) -> None:
    """What a terminal would obey is made visible."""
    window = terminal(OPERATED)
    window.type("\x1b[2J\n")
    assert window.line() == "␛[2J"


def test_ctrl_d(terminal: Callable[..., Terminal]) -> None:
    """Ctrl-D on an empty line ends the reading, and not the process."""
    window = terminal(OPERATED)
    window.type("one\n\x04")
    assert window.line() == "one"
    assert window.line() == "the keyboard has ended"


def test_ctrl_d_within_a_line(terminal: Callable[..., Terminal]) -> None:
    """Twice Ctrl-D after some words ends the line and the reading."""
    window = terminal(OPERATED)
    window.type("one\x04\x04")
    assert window.line() == "one"
    assert window.line() == "the keyboard has ended"


def test_a_terminal_that_is_gone(terminal: Callable[..., Terminal]) -> None:
    """When the terminal hangs up, the reading ends, and not the process."""
    window = terminal(OPERATED)
    window.type("one\n")
    assert window.line() == "one"
    window.hang_up()
    assert window.line() == "the keyboard has ended"


def test_in_the_background(terminal: Callable[..., Terminal]) -> None:
    """In the background it looks now and then, computes next to nothing, and is not stopped."""
    window = terminal(SHELL, OPERATED, "watched")
    window.type("one\n")
    looks = [window.line().split() for _ in range(3)]
    assert [word for word, _, _ in looks] == ["looked"] * 3
    (_, began, before), _, (_, ended, after) = looks
    assert float(ended) - float(began) > 1
    assert float(after) - float(before) < 0.1


@pytest.mark.parametrize("how", [[], ["surprised"]], ids=["waiting", "too late for a read"])
def test_brought_to_the_foreground(terminal: Callable[..., Terminal], how: list[str]) -> None:
    """What was typed in the background and nobody else has taken is read in the foreground.

    A read that came too late, after it was sent to the background, has neither stopped the process nor ended this.
    """
    window = terminal(SHELL, OPERATED, "watched", *how)
    window.type("one\n")
    assert window.line().startswith("looked")
    window.process.send_signal(signal.SIGUSR1)
    while (line := window.line()).startswith("looked"):
        pass
    assert line == "one"


def test_a_usable_terminal(terminal: Callable[..., Terminal]) -> None:
    """A terminal that controls the process is usable; its output need only be a terminal."""
    assert terminal(USABLE, "0").line() == "True"


def test_no_controlling_terminal(terminal: Callable[..., Terminal]) -> None:
    """A terminal that does not control the process is not usable: nobody knows who is in its foreground."""
    assert terminal(USABLE, "0", controlling=False).line() == "False"


def test_output_elsewhere(terminal: Callable[..., Terminal]) -> None:
    """A terminal is not usable when the output goes into a pipe."""
    assert terminal(USABLE, "1").line() == "False"
