"""One thread's loop: what it watches, what other threads want called in it, and signals. It knows no room.

A signal handler only notes the signal; `signal.set_wakeup_fd` has it wake the loop, whichever thread the kernel has
chosen for it. It does so little because the next signal interrupts it: a storm of them must not nest.
"""

import contextlib
import functools
import selectors
import signal
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_LONGEST = 3600.0  # seconds of a wait: epoll_wait(2) knows no more than 24 days


class Loop:
    """Waits for what is ready, and acts on it. One thread runs it; `call` and `wake` are for all others.

    The data of a key of the ``selector`` is a function of the events, or something that ``serve`` is called with, and
    the events: a function for each member would cost more memory than the member.
    """

    serve: Callable[[Any, int], None]

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._calls: deque[Callable[[], None]] = deque()
        self._wakeup, self._waker = socket.socketpair()
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        self.selector.register(self._wakeup, selectors.EVENT_READ, self._awake)

    def turn(self, until: float) -> bool:
        """Wait for something, and do it; return whether there was anything.

        Args:
            until: when to give up waiting, by `time.monotonic`; infinity: never.
        """
        ready = self.selector.select(min(max(until - time.monotonic(), 0), _LONGEST))
        for key, events in ready:
            if callable(key.data):
                key.data(events)
            else:
                self.serve(key.data, events)
        return bool(ready)

    def call(self, function: Callable[[], None]) -> None:
        """Have something called in the loop's thread. Any thread."""
        self._calls.append(function)
        self.wake()

    def wake(self) -> None:
        """End the wait that is under way, or the next one. Any thread."""
        with contextlib.suppress(OSError):  # it is about to, then; or it is closed
            self._waker.send(b"\0")

    def close(self) -> None:
        """Let go of what it waits with."""
        self.selector.close()
        self._wakeup.close()
        self._waker.close()

    @contextlib.contextmanager
    def signals(self, actions: Mapping[int, Callable[[], None]]) -> Iterator[None]:
        """Have signals call something in the loop, which the main thread runs. What comes after the end is ignored.

        Args:
            actions: what to call, by the signals' numbers.
        """
        pending: Counter[int] = Counter()

        def act(number: int) -> None:
            pending[number] -= 1
            actions[number]()

        def note(number: int, frame: object) -> None:
            if pending[number] < 2:  # a second SIGTERM counts, a third does not
                pending[number] += 1
                self._calls.append(functools.partial(act, number))

        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in actions:
            signal.signal(number, note)
        try:
            yield
        finally:  # what comes now is too late: it must not change the exit status of a good end
            signal.pthread_sigmask(signal.SIG_BLOCK, actions)  # else one in between is reported as a race
            for number in actions:
                signal.signal(number, signal.SIG_IGN)
            signal.set_wakeup_fd(-1)

    def _awake(self, events: int) -> None:
        self._wakeup.recv(4096)
        while self._calls:
            self._calls.popleft()()
