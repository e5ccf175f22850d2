"""What can end a command, and with which exit status.

    ChatctlError            1
    ├── ListenError         1    the server cannot have its address
    ├── NetworkError        1    no connection, or it broke
    ├── ResourceError       1    a file or an extra that a command needs cannot be had
    ├── OutputError         1    stdout cannot be written
    ├── InputError          2    what a command was told to read cannot be read
    │   └── ScriptError     2    a script is not one
    ├── EchoError           3    a line was sent and its echo did not come
    ├── ExpectError         3    something that a script expects did not come
    ├── PasswordError       4    the room has another password, or none was given
    └── DeadlineError     124    it took longer than it was given

Each is raised with one line for stderr that says what to do; that of a script shows the place of each mistake. Ctrl-C
in the client and the bot ends with 130, usage errors with 2 (click's own).
"""

import shlex
import sys


class ChatctlError(Exception):
    """A reason to end, for the user to read; ``status`` is the exit status."""

    status = 1


class ListenError(ChatctlError):
    """The server cannot have the address it was given."""


class NetworkError(ChatctlError):
    """There is no connection to the server, or it broke."""


class ResourceError(ChatctlError):
    """A file or an extra that a command needs cannot be had."""


class OutputError(ChatctlError):
    """Stdout cannot be written."""


class InputError(ChatctlError):
    """What a command was told to read cannot be read."""

    status = 2


class ScriptError(InputError):
    """A script is not one."""


class EchoError(ChatctlError):
    """Lines were sent whose echoes did not come."""

    status = 3


class ExpectError(ChatctlError):
    """Something that a script expects did not come."""

    status = 3


class PasswordError(ChatctlError):
    """The room needs a password that is not the one given."""

    status = 4


class DeadlineError(ChatctlError):
    """A run took longer than it was given (as timeout(1) says it)."""

    status = 124


def installing(extra: str) -> str:
    """What to type to have an extra of chatctl, for the end of an error.

    It names the interpreter that runs: chatctl is often in an environment of its own, as with pipx or in a checkout,
    where the ``pip`` of the PATH installs nothing that this process could import.
    """
    return f"{shlex.quote(sys.executable)} -m pip install 'chatctl[{extra}]'"


def unreachable(host: str, port: int, error: OSError | UnicodeError) -> NetworkError:
    """The error for a server to which there is no connection, in words."""
    reason = getattr(error, "strerror", None) or str(error) or "timed out"
    if isinstance(error, ConnectionRefusedError):
        hint = "is the server running?"
    elif ":" in host:  # ::1:9999 is an address as well
        hint = "check the address; a port stands behind brackets: [::1]:9999"
    else:
        hint = "check the address"
    return NetworkError(f"cannot connect to {host} port {port}: {reason}: {hint}")
