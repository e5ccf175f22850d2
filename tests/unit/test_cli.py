"""The command line: what help shows, what numbers and addresses mean, what is said of mistakes."""

import errno
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from chatctl.cli import cli
from chatctl.cli.layout import Command
from chatctl.cli.options import Number, Rate, Size, Time
from chatctl.errors import unreachable

PAGES = ["--help", *(f"{name} --help" for name in cli.commands), "bot --help-script"]
EXAMPLES = [
    line
    for command in (cli, *cli.commands.values())
    if isinstance(command, Command)
    for line in command.examples
    if "chatctl " in line.partition("#")[0]
]


def page(arguments: str) -> str:
    """A page as a terminal of 80 columns shows it."""
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli, arguments.split(), prog_name="chatctl")
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def section(text: str, heading: str) -> str:
    """What stands below a heading."""
    found = re.search(rf"^{heading}:\n((?:  .*\n)+)", text, re.MULTILINE)
    assert found, heading
    return found[1]


@pytest.mark.parametrize("arguments", PAGES)
def test_a_page_fits(arguments: str) -> None:
    """Nothing is wider than 80 columns, and nothing is cut."""
    text = page(arguments)
    assert max(map(len, text.splitlines())) <= 80
    assert not [line for line in text.splitlines() if line.endswith("...") and not line.startswith("Usage:")]
    assert text.isascii()


def test_the_order_of_the_commands() -> None:
    """What one needs first comes first, each with the whole first sentence of its page."""
    listed = [line.split(maxsplit=1) for line in section(page("--help"), "Commands").splitlines()]
    names = [name for name, _ in listed]
    assert names[:5] == ["server", "client", "bot", "log", "bench"]
    assert set(names) == set(cli.commands)
    for name, summary in listed:
        assert page(f"{name} --help").splitlines()[2] == f"  {summary}."


@pytest.mark.parametrize("name", cli.commands)
def test_what_a_page_has(name: str) -> None:
    """Examples come before the options, the everyday ones of these first, and --help is among them."""
    text = page(f"{name} --help")
    headings = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert headings[:2] == ["Examples", "Options"]
    assert f"chatctl {name}" in section(text, "Examples")
    assert "--help" in section(text, "Options")


@pytest.mark.parametrize("name", ["server", "client", "bot", "log", "bench"])
def test_exit_statuses_come_last(name: str) -> None:
    """Each page of a command that can fail ends with what its statuses mean."""
    text = page(f"{name} --help")
    assert text.endswith(section(text, "Exit status"))
    assert re.findall(r"^  (\d+)  ", text, re.MULTILINE)[:3] == ["0", "1", "2"]


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_are_command_lines(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An example is understood, where its files are there."""
    monkeypatch.chdir(tmp_path)
    words = re.split(r"eval \"\$\(|\)\"| > | *# ", next(part for part in line.split(" | ") if "chatctl" in part))
    name, *arguments = shlex.split(next(part for part in words if "chatctl" in part))[1:]
    for word in arguments:
        if word.endswith(".chat"):
            Path(word).touch()
    cli.commands[name].make_context(name, arguments)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Rate("0"), "0.5", 0.5),
        (Rate("0"), "1e3", 1000.0),
        (Number("1"), "10", 10),
        (Size("1"), "4096", 4096),
        (Size("1"), "64k", 65536),
        (Size("1"), "64kB", 65536),
        (Size("1"), "1.5MiB", 1572864),
        (Size("1"), "1g", 1 << 30),
        (Time("0"), "5", 5.0),
        (Time("0"), "5s", 5.0),
        (Time("0"), "1.5m", 90.0),
        (Time("0"), "2 h", 7200.0),
        (Time("0"), "500ms", 0.5),
    ],
)
def test_quantities(kind: Rate, text: str, value: float) -> None:
    """Numbers can have units; whole ones are integers."""
    assert kind.convert(text, None, None) == value
    assert type(kind.convert(text, None, None)) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Number("1"), "1.5", "'1.5' is not a whole number."),
        (Number("1"), "1k", "'1k' is not a whole number."),
        (Number("1"), "", "'' is not a whole number."),
        (Number("1"), "inf", "'inf' is not a whole number."),
        (Number("1"), "1e999", "'1e999' is not a whole number."),
        (Number("1"), "0", "0 is too little: the least is 1."),
        (Rate("0"), "nan", "'nan' is not a number."),
        (Rate("0"), "1e999", "'1e999' is not a number."),
        (Rate("0"), "5s", "'5s' is not a number."),
        (Size("64"), "0.3k", "'0.3k' is not a number of bytes, such as 4096, 64k or 4MiB."),
        (Size("64", "64KiB"), "1m", "1m is too much: the most is 64KiB."),
        (Size("64", "64KiB"), "-1k", "-1k is too little: the least is 64."),
        (Time("50ms"), "5y", "'5y' is not a time, such as 5s, 0.5, 2m or 1h."),
        (Time("50ms"), "0.049", "0.049 is too little: the least is 50ms."),
    ],
)
def test_quantities_that_are_none(kind: Rate, text: str, message: str) -> None:
    """What cannot be is named, with the bound that it passes."""
    with pytest.raises(click.BadParameter) as caught:
        kind.convert(text, None, None)
    assert caught.value.message == message


def test_defaults_are_shown_as_one_writes_them() -> None:
    """Help shows sizes and times with their units, and no bounds."""
    assert "[default: 4MiB]" in page("server --help")
    assert "[default: 3s]" in page("bench --help")
    assert not [arguments for arguments in PAGES if re.search(r"x[<>]=|99999", page(arguments))]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("client localhost", ("localhost", 9999)),
        ("client localhost 9000", ("localhost", 9000)),
        ("client localhost:9000", ("localhost", 9000)),
        ("client 0 9000", ("0", 9000)),
        ("client ::1", ("::1", 9999)),
        ("client ::1 9000", ("::1", 9000)),
        ("client [::1] 9000", ("::1", 9000)),
        ("client [::1]:9000", ("::1", 9000)),
        ("client --plain localhost:9000 --bell never", ("localhost", 9000)),
        ("server", (None, None)),
        ("server 0.0.0.0", ("0.0.0.0", 9999)),
        ("server ::", ("::", 9999)),
        ("server 127.0.0.1 0", ("127.0.0.1", 0)),
        ("server 127.0.0.1:0", ("127.0.0.1", 0)),
        ("bot localhost 9000", ("localhost", 9000)),
        ("bot localhost:9000", ("localhost", 9000)),
        ("bot --check", (None, None)),
        ("bench", (None, None)),
        ("bench localhost:9000", ("localhost", 9000)),
    ],
)
def test_addresses(line: str, place: tuple[str | None, int | None]) -> None:
    """HOST PORT and HOST:PORT mean the same, and who types can leave the port out."""
    name, *arguments = line.split()
    options = cli.commands[name].make_context(name, arguments).params
    assert (options["host"], options["port"]) == place


@pytest.mark.parametrize("line", ["bot localhost 9000 FILE", "bot localhost:9000 FILE", "bot ::1 9000 FILE"])
def test_what_follows_an_address(line: str) -> None:
    """The bot's file comes behind either form."""
    name, *arguments = line.replace("FILE", __file__).split()
    options = cli.commands[name].make_context(name, arguments).params
    assert (options["port"], options["file"]) == (9000, __file__)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--colour", "chatctl: no such option '--colour'"),
        ("serve", "chatctl: no such command 'serve'. Did you mean 'server'?"),
        ("client", "chatctl client: the host is missing: write HOST, HOST PORT or HOST:PORT"),
        ("client 9999", "chatctl client: the host is missing: write HOST 9999 or HOST:9999"),
        ("client --colour a", "chatctl client: no such option '--colour'. Did you mean '--color'?"),
        ("client --bell", "chatctl client: option '--bell' requires an argument"),
        (
            "client --bell loud a",
            "chatctl client: invalid value for '--bell': 'loud' is not one of 'never', 'mention', 'always'",
        ),
        ("client a b", "chatctl client: 'b' is not a port: write HOST PORT or HOST:PORT"),
        ("client a:b", "chatctl client: 'a:b' is not HOST:PORT, such as localhost:9999 or [::1]:9999"),
        ("client a:b:c", "chatctl client: 'a:b:c' is not HOST:PORT, such as localhost:9999 or [::1]:9999"),
        (f"client a {'9' * 5000}", f"chatctl client: '{'9' * 5000}' is not a port: write HOST PORT or HOST:PORT"),
        ("client a 0", "chatctl client: 0 is not a port: it must be from 1 to 65535"),
        ("client a 65536", "chatctl client: 65536 is not a port: it must be from 1 to 65535"),
        ("client a 1 2", "chatctl client: unexpected argument '2'"),
        ("client a:1 2", "chatctl client: unexpected argument '2'"),
        ("server a:65536", "chatctl server: 'a:65536' is not HOST:PORT, such as localhost:9999 or [::1]:9999"),
        ("server a --max-lag 1", "chatctl server: invalid value for '--max-lag': 1 is too little: the least is 64KiB"),
        ("bot -m x", "chatctl bot: host and port are missing: write HOST PORT or HOST:PORT"),
        ("bot a", "chatctl bot: the port is missing: write HOST PORT or HOST:PORT"),
        ("bot a /dev/null", "chatctl bot: '/dev/null' is not a port: write HOST PORT or HOST:PORT"),
        (
            "bot a:1 /no/such/file",
            "chatctl bot: invalid value for 'HOST PORT [FILE]': File '/no/such/file' does not exist",
        ),
        ("bench a", "chatctl bench: the port is missing: write HOST PORT or HOST:PORT"),
        ("completion", "chatctl completion: missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish"),
    ],
)
def test_mistakes(line: str, message: str) -> None:
    """A mistake is one line that says what to do, where all options are listed, and status 2."""
    result = CliRunner().invoke(cli, line.split(), prog_name="chatctl")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"{message}\nTry '{message.partition(':')[0]} --help'.\n"


@pytest.mark.parametrize(
    ("host", "error", "hint"),
    [
        ("localhost", ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "is the server running?"),
        ("192.0.2.7", OSError(errno.EHOSTUNREACH, "No route to host"), "check the address"),
        (
            "::1:9999",
            OSError(errno.EHOSTUNREACH, "No route to host"),
            "check the address; a port stands behind brackets: [::1]:9999",
        ),
    ],
)
def test_no_connection(host: str, error: OSError, hint: str) -> None:
    """The reason, and what to do about it: also when a port was written as if it were part of an IPv6 address."""
    assert str(unreachable(host, 9999, error)) == f"cannot connect to {host} port 9999: {error.strerror}: {hint}"


def test_no_command() -> None:
    """Without a command, help says which there are."""
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli, [], prog_name="chatctl")
    assert (result.exit_code, result.stderr) == (2, page("--help"))
