"""The command line that makes a certificate: options in, calls out."""

import click


def _subject(text: str) -> str:
    """A host name or an address."""
    from chatctl.selfsigned import subject

    try:
        return subject(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


@click.command("cert")
@click.argument("hosts", metavar="HOST...", nargs=-1, required=True, type=_subject)
@click.option(
    "--out",
    metavar="FOLDER",
    default=".",
    help="Where to write the files.  [default: the current folder]",
)
def command(hosts: tuple[str, ...], out: str) -> None:
    """Make a private key and a certificate for a room that speaks TLS, without an authority.

    HOST is a name or an address by which others connect to the room; there may be several. The key is written to
    key.pem, which only you can read, the certificate to cert.pem; files that are there already are left alone.

    The fingerprint that is printed is no secret. Who gives it as --tls-pin trusts exactly this certificate, by whatever
    name it connects and for as long as it likes; for those who give cert.pem as --tls-ca it is valid for ten years.

    Example: chatctl cert chat.example.org 192.0.2.7

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
