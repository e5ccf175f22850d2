"""Types of options, and options that more than one command has."""

import functools
import math
from collections.abc import Callable
from typing import Any

import click

from chatctl.cli.layout import option


class Number(click.FloatRange):
    """A number, which NaN is not, and a finite one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


def network(text: str) -> object:
    """An address or a network in CIDR notation."""
    from chatctl.room import door

    try:
        return door.network(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}: write it as in 192.0.2.0/24 or 2001:db8::/32.") from error


def place(text: str) -> str:
    """HOST:PORT."""
    from chatctl.server.metrics import address

    try:
        address(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    return text


def way_in(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that enters a room the options for its TLS and its password."""

    @option("--tls", "speak_tls", is_flag=True, help="Speak TLS; the other --tls options imply it.")
    @option(
        "--password-file",
        metavar="FILE",
        help="If the room needs a password, send the first line of FILE.  [default: the variable CHATCTL_PASSWORD]",
    )
    @option("--tls-ca", group="TLS", metavar="FILE", help="Trust the authorities in FILE (PEM) and no others.")
    @option("--tls-cert", group="TLS", metavar="FILE", help="Show the certificate in FILE (PEM) if the server asks.")
    @option("--tls-key", group="TLS", metavar="FILE", help="Its private key, if that is not in the same file.")
    @functools.wraps(command)
    def enter(
        speak_tls: bool,
        tls_ca: str | None,
        tls_cert: str | None,
        tls_key: str | None,
        password_file: str | None,
        **arguments: Any,
    ) -> None:
        if tls_key is not None and tls_cert is None:
            raise click.UsageError("--tls-key needs --tls-cert FILE")
        context = None
        if speak_tls or tls_ca is not None or tls_cert is not None:  # "" is a variable that is not set, not plain text
            from chatctl.layers.tls import client_context

            context = client_context(tls_ca, tls_cert, tls_key)
        from chatctl import password

        command(**arguments, tls=context, password=password.given(password_file))

    return enter
