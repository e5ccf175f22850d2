"""The command line that makes a certificate: options in, calls out."""

import click

from chatctl.cli.layout import Command, option


def _subject(text: str) -> str:
    """A host name or an address."""
    from chatctl.selfsigned import subject

    try:
        return subject(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


@click.command(
    "cert",
    cls=Command,
    examples=["chatctl cert chat.example.org 192.0.2.7", "chatctl cert localhost --out ~/chat"],
    statuses={
        0: "done",
        1: "the files are there already, or cannot be written, or something is not installed",
        2: "wrong usage",
    },
)
@click.argument("hosts", metavar="HOST...", nargs=-1, required=True, type=_subject)
@option("--out", metavar="FOLDER", default=".", help="Where to write the files.  [default: the current folder]")
def command(hosts: tuple[str, ...], out: str) -> None:
    """Make a key and a certificate for a room with TLS.

    HOST is a name or an address by which others connect to the room. The private key is written to key.pem, which only
    you can read, and the certificate to cert.pem; files that are there already are left alone.

    Anybody who gives the printed fingerprint as --tls-pin trusts exactly this certificate, under whatever name, for as
    long as they like; for those who give cert.pem as --tls-ca it is valid for ten years. The fingerprint is no secret.

    It needs chatctl[tls] or the program openssl.
    """
    import shlex
    import ssl
    from pathlib import Path

    from chatctl import output, selfsigned
    from chatctl.layers.certificate import fingerprint

    pair = selfsigned.make(hosts)
    certificate, key = (shlex.quote(str(path)) for path in selfsigned.save(pair, Path(out)))
    pin = fingerprint(ssl.PEM_cert_to_DER_cert(pair.certificate.decode()))
    everywhere = "::" if any(":" in host for host in hosts) else "0.0.0.0"
    output.show(
        f"{certificate} and {key} are for {', '.join(hosts)}, valid for ten years\n"
        f"fingerprint: {pin}\n"
        f"the room:    chatctl server {everywhere} 9999 --tls-cert {certificate} --tls-key {key}\n"
        f"the others:  chatctl client {hosts[0].replace('*', 'NAME')} 9999 --tls-pin {pin}\n"
    )
