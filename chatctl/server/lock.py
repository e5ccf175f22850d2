"""The lock that guards a room: what needs it says so in code, ``assert held(lock)``.

It is the reentrant one, which alone can tell in C who holds it; nobody takes it twice. Whoever holds it does nothing
that blocks.
"""

import threading
from typing import TypeAlias

Lock: TypeAlias = threading.RLock
"""What guards a room."""


def held(lock: Lock) -> bool:
    """Whether the calling thread holds a lock."""
    return lock._is_owned()  # type: ignore[attr-defined,no-any-return]  # as threading.Condition asks it
