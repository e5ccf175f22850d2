"""A room's password, from wherever it comes."""

import os
from pathlib import Path

import pytest

from chatctl.errors import ResourceError
from chatctl.password import VARIABLE, given, read
from chatctl.wire import MAX_LINE


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", b"secret"),
        (b"secret\n", b"secret"),
        (b"secret\r\nnot this\n", b"secret"),
        (b" two words \n", b" two words "),
        ("\ufeff비밀\n".encode(), "비밀".encode()),
        (b"a\x1bb\n", "a␛b".encode()),
        (b"x" * MAX_LINE + b"\r\n", b"x" * MAX_LINE),
        (b"x\n" + b"\xff" * 2 * MAX_LINE, b"x"),
    ],
)
def test_the_first_line_of_a_file(tmp_path: Path, content: bytes, password: bytes) -> None:
    """It is the line that the room sees when a member sends it."""
    path = tmp_path / "password"
    path.write_bytes(content)
    assert read(str(path)) == password


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "its first line is empty"),
        (b"\r\nsecret\n", "its first line is empty"),
        ("\ufeff\n".encode(), "its first line is empty"),
        (b"\xff\n", "it is not UTF-8"),
        (b"x" * (MAX_LINE + 1), "it has more than 4096 bytes"),
        (b"\x1b" * (MAX_LINE // 2), "it has more than 4096 bytes"),
        (b"x" + "한".encode() * MAX_LINE, "it has more than 4096 bytes"),
    ],
)
def test_what_no_member_could_send(tmp_path: Path, content: bytes, reason: str) -> None:
    """A password that nobody could give is refused, and it is not shown."""
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(ResourceError) as caught:
        read(str(path))
    assert str(caught.value) == f"cannot use the password in {path}: {reason}"


@pytest.mark.parametrize(
    ("name", "reason"), [("missing", "No such file or directory"), (".", "Is a directory"), ("", "Is a directory")]
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, reason: str) -> None:
    """The error names the file and says why."""
    path = f"{tmp_path}/{name}"
    with pytest.raises(ResourceError) as caught:
        read(path)
    assert str(caught.value) == f"cannot read {path}: {reason}"


def test_an_endless_file() -> None:
    """A file without a newline is not read to its end, which may never come."""
    with pytest.raises(ResourceError, match="more than 4096 bytes"):
        read("/dev/zero")


def test_the_environment_when_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file wins over the environment, and an empty variable is none."""
    path = tmp_path / "password"
    path.write_text("from the file\n")
    monkeypatch.delenv(VARIABLE, raising=False)
    assert given(None) is None
    monkeypatch.setenv(VARIABLE, "")
    assert given(None) is None
    monkeypatch.setenv(VARIABLE, "from the environment\n")
    assert given(None) == b"from the environment"
    assert given(str(path)) == b"from the file"


def test_a_file_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--password-file "$UNSET"`` is an error, not the same as no option."""
    monkeypatch.setenv(VARIABLE, "secret")
    with pytest.raises(ResourceError, match="cannot read"):
        given("")


def test_an_environment_that_is_not_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable, not what is in it."""
    monkeypatch.setenv(VARIABLE, os.fsdecode(b"\xff"))
    with pytest.raises(ResourceError) as caught:
        given(None)
    assert str(caught.value) == "cannot use the password in CHATCTL_PASSWORD: it is not UTF-8"
