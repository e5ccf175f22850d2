"""What somebody may be called, and which of the names are free."""

import pytest

from chatctl.room.people import Names, RefusedError, key, look, spelled


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("alice", "alice"),
        ("Ali", "Ali"),
        ("rené", "rené"),
        ("rene\u0301", "rené"),
        ("Nguyễn", "Nguyễn"),
        ("ｂｏｂ", "bob"),
        ("김철수", "김철수"),
        ("김철수".encode().decode(), "김철수"),
        ("ユーザー", "ユーザー"),
        ("佐々木", "佐々木"),
        ("佐々木ken", "佐々木ken"),
        ("вова", "вова"),
        ("ქეთი", "ქეთი"),
        ("हिन्दी", "हिन्दी"),
        ("x-1_y.z", "x-1_y.z"),
        ("a" * 20, "a" * 20),
    ],
)
def test_names(typed: str, name: str) -> None:
    """People are called as they are in their languages."""
    assert spelled(typed) == name


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "a" * 21,
        "1a",
        "-a",
        "\u0301a",
        "a b",
        "[x]",
        "a]b",
        "a:1",
        "127.0.0.1",
        "a!",
        "\u3164",
        "a\u034f",
        "a\ufe0f",
        "a\u200db",
        "b\u0301\u0302\u0303\u0304",
        "a٣",
        "👋",
    ],
)
def test_no_names(typed: str) -> None:
    """Everything else is no name, for that reason."""
    with pytest.raises(RefusedError, match=r"^a name has 1 to 20 letters, digits, - _ . and begins with a letter$"):
        spelled(typed)


@pytest.mark.parametrize("typed", ["aлёна", "вовa", "김вова", "ɑlice", "ǃkung", "αлекс", "カナ김"])
def test_one_script(typed: str) -> None:
    """Letters of several scripts, but for those that are written together, are no name."""
    with pytest.raises(RefusedError, match=r"^a name has letters of one script$"):
        spelled(typed)


@pytest.mark.parametrize(
    "typed", ["you", "YOU", "ｙｏｕ", "y0u", "server", "Server", "chatctI", "all", "here", "nobody"]
)
def test_nobodys_names(typed: str) -> None:
    """Some words are nobody's name, however they are written."""
    with pytest.raises(RefusedError, match=r"is nobody's name$"):
        spelled(typed)


def test_others_stay_free() -> None:
    """What only looks like one of the short words may be a name."""
    assert spelled("Ali") == "Ali"
    assert spelled("aII") == "aII"


def refusal(names: Names, name: str, uid: int = 9, host: str = "h", now: float = 0.0) -> str:
    """Why somebody cannot have a name; nothing, if it can."""
    try:
        names.check(spelled(name), uid, host, now)
    except RefusedError as refused:
        return refused.text
    return ""


@pytest.mark.parametrize("typed", ["alice", "ALICE", "аӏісе", "a1ice", "aIice"])
def test_names_that_look_alike(typed: str) -> None:
    """A name is taken with whatever is the same, or shown alike."""
    names = Names()
    names.take(1, "alice")
    same = typed.casefold() == "alice"
    assert refusal(names, typed) == ("alice is taken" if same else f"{typed} looks like alice, who is here")
    assert refusal(names, typed, uid=1) == ""


def test_a_name_is_kept_for_its_host() -> None:
    """For a minute who has gone is waited for, and whoever comes from the same address is taken for that one."""
    names = Names()
    names.take(1, "bob")
    names.leave("bob", 1, "10.0.0.1", 100.0)
    assert names.find("bob") == 0
    assert refusal(names, "BOB", now=112.0) == "bob is kept for 48 s for who had it"
    assert refusal(names, "b0b", now=112.0) == "bob is kept for 48 s for who had it"
    assert refusal(names, "bob", host="10.0.0.1", now=112.0) == ""
    assert refusal(names, "bob", uid=1, now=112.0) == ""  # from wherever that one comes
    assert refusal(names, "bob", uid=2, now=112.0) != ""
    assert refusal(names, "bob", now=160.0) == ""


def test_a_name_that_was_kept_is_had_again() -> None:
    """Who comes back has the name as ever, and the end of its time takes it from nobody."""
    names = Names()
    names.take(1, "bob")
    names.leave("bob", 1, "h", 0.0)
    names.take(2, "b0b")
    names.take(3, "eve")
    names.leave("eve", 3, "h", 100.0)
    assert refusal(names, "bob") == "bob looks like b0b, who is here"
    assert names.find("B0B") == 2
    assert names.find("bob") == 0


def test_a_rename_is_remembered() -> None:
    """For a minute it is known who had a name, which anybody may have at once."""
    names = Names()
    names.take(1, "bob")
    names.drop(1, "bob", 5.0)
    names.take(1, "rob")
    assert refusal(names, "bob") == ""
    assert names.heir("BOB", 64.0) == 1
    assert names.heir("bob", 65.0) == 0
    assert names.heir("eve", 5.0) == 0


def test_addresses() -> None:
    """Who has no name is called by the address, with a number where two have the same."""
    names = Names()
    assert [names.enter(uid, "10.0.0.1:5") for uid in (1, 2, 3)] == ["10.0.0.1:5", "10.0.0.1:5~2", "10.0.0.1:5~3"]
    assert names.find("10.0.0.1:5~2") == 2
    names.leave("10.0.0.1:5~2", 2, "10.0.0.1", 0.0)
    assert names.find("10.0.0.1:5~2") == 0
    assert names.enter(4, "10.0.0.1:5") == "10.0.0.1:5~2"


def test_names_that_are_kept_are_bounded() -> None:
    """However many come and go, the oldest names are free again."""
    names = Names()
    for number in range(10_001):
        name = f"n{chr(0xAC00 + number)}"
        names.take(number + 1, name)
        names.leave(name, number + 1, "x", 0.0)
    assert refusal(names, "n" + chr(0xAC00)) == ""
    assert refusal(names, "n" + chr(0xAC01)) != ""


def test_marks_of_names() -> None:
    """What is the same but for capitals has one key; what is shown alike has one look."""
    assert key("ВОВА") == key("вова")
    assert look("ВОВА") == look("BOBA") != look("вова")
    assert look("Ilya1") == look("lIуаI")
