"""Types of options, and options that more than one command has."""

import functools
import math
import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import click

from chatctl.cli.layout import option


class Rate(click.ParamType):  # type: ignore[type-arg]  # in older versions it takes none
    """A number within bounds, maybe with a unit behind it. Help shows a default as it is written, and no bounds.

    Args:
        least: as it is written on a command line, unit and all: errors show it so.
        most: likewise; none: any finite number.
    """

    name = "number"
    form = "a number"
    units: ClassVar[Mapping[str, float]] = {"": 1}
    whole = False

    def __init__(self, least: str, most: str = "") -> None:
        self._least = least
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, times what its unit stands for."""
        number = self._read(str(value))
        if number is None:
            self.fail(f"{value!r} is not {self.form}.", param, ctx)
        if number < (self._read(self._least) or 0):
            self.fail(f"{value} is too little: the least is {self._least}.", param, ctx)
        if self._most and number > (self._read(self._most) or 0):
            self.fail(f"{value} is too much: the most is {self._most}.", param, ctx)
        return number

    def _read(self, text: str) -> float | None:
        digits = text.rstrip(string.ascii_letters)  # without a digit, as in "nan", there is no number
        try:
            number = float(digits) * self.units[text[len(digits) :].lower()]
        except (ValueError, KeyError):
            return None
        if not math.isfinite(number):
            return None
        if not self.whole:
            return number
        return int(number) if number.is_integer() else None


class Number(Rate):
    """How many."""

    form = "a whole number"
    whole = True


class Size(Number):
    """Bytes."""

    name = "size"
    form = "a number of bytes, such as 4096, 64k or 4MiB"
    units: ClassVar = {"": 1, "b": 1} | {
        f"{letter}{rest}": 1024**power for power, letter in enumerate("kmg", 1) for rest in ("", "b", "ib")
    }


class Time(Rate):
    """Seconds."""

    name = "time"
    form = "a time, such as 5s, 0.5, 2m or 1h"
    units: ClassVar = {"": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def network(text: str) -> object:
    """An address or a network in CIDR notation."""
    from chatctl.room import door

    try:
        return door.network(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}: write it as in 192.0.2.0/24 or 2001:db8::/32.") from error


def place(text: str) -> str:
    """HOST:PORT."""
    from chatctl.wire import host_and_port

    try:
        if host_and_port(text)[1] is not None:
            return text
    except ValueError:
        pass
    raise click.BadParameter(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9100 or [::1]:9100.")


def address(
    metavar: str, *, default: int | None = None, least: int = 1, required: bool = False, file: click.Path | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command ``host`` and ``port``, written HOST PORT or HOST:PORT; both are None where nothing is written.

    Args:
        metavar: how the usage line shows it.
        default: the port where only HOST is written; None: there must be one.
        least: the least port.
        required: whether something must be written.
        file: what may follow, as ``file``; None: nothing may.
    """

    def read(ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> None:
        if ctx.resilient_parsing:
            return
        if required and not words:
            raise click.UsageError("the host is missing: write HOST, HOST PORT or HOST:PORT")
        host, port, rest = _split(words, default, least) if words else (None, None, ())
        if file:
            ctx.params["file"] = file.convert(rest[0], parameter, ctx) if rest else None
            rest = rest[1:]
        if rest:
            raise click.UsageError(f"unexpected argument {rest[0]!r}")
        ctx.params |= {"host": host, "port": port}

    return click.argument(
        "address",
        metavar=metavar,
        nargs=-1,
        expose_value=False,
        callback=read,
        shell_complete=file.shell_complete if file else None,
    )


def _split(words: Sequence[str], default: int | None, least: int) -> tuple[str, int, Sequence[str]]:
    """The host and the port that words begin with, and the words behind them."""
    from chatctl.wire import host_and_port

    try:
        host, port = host_and_port(words[0])
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    rest = words[1:]
    if port is None and not rest and host.isdecimal():
        raise click.UsageError(f"the host is missing: write HOST {host} or HOST:{host}")
    if port is None and rest:
        if not re.fullmatch("[0-9]{1,9}", rest[0]):
            raise click.UsageError(f"{rest[0]!r} is not a port: write HOST PORT or HOST:PORT")
        port, rest = int(rest[0]), rest[1:]
    if port is None and default is None:
        raise click.UsageError("the port is missing: write HOST PORT or HOST:PORT")
    port = default if port is None else port
    assert port is not None
    if not least <= port <= 65535:
        raise click.UsageError(f"{port} is not a port: it must be from {least} to 65535")
    return host, port, rest


def fingerprint(text: str) -> str:
    """The fingerprint of a certificate."""
    from chatctl.layers.certificate import read_fingerprint

    try:
        return read_fingerprint(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}: the server prints it at its start.") from error


def name(text: str) -> str:
    """What a member may be called."""
    from chatctl.room.people import RefusedError, spelled

    try:
        return spelled(text) if text else text
    except RefusedError as error:
        raise click.BadParameter(f"{text!r} cannot be had: {error.text}") from error


nick = option(
    "--nick",
    metavar="NAME",
    type=name,
    default="",
    envvar="CHATCTL_NICK",
    help="Be called NAME in the room.  [default: the variable CHATCTL_NICK, else your address]",
)


def way_in(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that enters a room the options for its TLS and its password."""

    @option("--tls", "speak_tls", is_flag=True, help="Speak TLS; the other --tls options imply it.")
    @option(
        "--password-file",
        metavar="FILE",
        help="If the room needs a password, send the first line of FILE.  [default: the variable CHATCTL_PASSWORD]",
    )
    @option("--tls-ca", group="TLS", metavar="FILE", help="Trust the authorities in FILE (PEM) and no others.")
    @option(
        "--tls-pin",
        group="TLS",
        metavar="sha256:HEX",
        type=fingerprint,
        help="Trust the certificate with this fingerprint, whatever it says, and no other; the server prints it.",
    )
    @option("--tls-cert", group="TLS", metavar="FILE", help="Show the certificate in FILE (PEM) if the server asks.")
    @option("--tls-key", group="TLS", metavar="FILE", help="Its private key, if that is not in the same file.")
    @functools.wraps(command)
    def enter(
        speak_tls: bool,
        tls_ca: str | None,
        tls_pin: str | None,
        tls_cert: str | None,
        tls_key: str | None,
        password_file: str | None,
        **arguments: Any,
    ) -> None:
        if tls_key is not None and tls_cert is None:
            raise click.UsageError("--tls-key needs --tls-cert FILE")
        if tls_pin is not None and tls_ca is not None:
            raise click.UsageError("give either --tls-pin or --tls-ca, not both")
        context = None
        if speak_tls or (tls_ca, tls_pin, tls_cert) != (None,) * 3:  # "" is a variable that is not set, not plain text
            from chatctl.layers.tls import client_context

            context = client_context(tls_ca, tls_cert, tls_key, tls_pin)
        from chatctl import password

        command(**arguments, tls=context, password=password.given(password_file))

    return enter
