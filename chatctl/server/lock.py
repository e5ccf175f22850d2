"""The lock that guards a room, which can tell whether it is held: what needs it says so in code."""

import threading
from types import TracebackType


class Lock:
    """A lock that is not reentrant and knows who holds it. Whoever holds it does nothing that blocks."""

    __slots__ = ("_lock", "_owner")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0

    @property
    def held(self) -> bool:
        """Whether the calling thread holds it."""
        return self._owner == threading.get_ident()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, see `threading.Lock`."""
        assert not self.held, "a thread that waits for itself"
        if self._lock.acquire(blocking, timeout):
            self._owner = threading.get_ident()
            return True
        return False

    def release(self) -> None:
        """Give it up."""
        assert self.held
        self._owner = 0
        self._lock.release()

    def condition(self) -> threading.Condition:
        """Something to wait for while this lock is let go of."""
        return threading.Condition(self)  # type: ignore[arg-type]  # it has all that a condition asks of a lock

    def _is_owned(self) -> bool:  # asked by threading.Condition
        return self.held

    def __enter__(self) -> None:
        self._lock.acquire()
        self._owner = threading.get_ident()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._owner = 0
        self._lock.release()
