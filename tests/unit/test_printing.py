"""How what is stored is printed."""

import json

import pytest

from chatctl.server import printing
from tests.unit.test_reader import Files
from tests.unit.test_reader import files as files


def test_what_is_printed(files: Files, capfd: pytest.CaptureFixture[str]) -> None:
    """What has happened, and where something is missing; nothing else that the store has."""
    files.own("missing", events=3)
    files.seq += 3
    files.say(2, "late", "rob")
    printing.show(files.path)
    shown = [line.partition(" ")[2] for line in capfd.readouterr().out.splitlines()]
    assert shown == [
        "> New user ann entered (1 user online)",
        "[ann] The first",
        "[bob] Grüße an ALLE",
        '[192.0.2.9:5~2] a "quoted" \\ text',
        "* ann waves",
        "[ann] first and last",
        "[rob] from rob",
        "! 3 lines are missing: the store could not be written",
        "[rob] late",
    ]
    printing.show(files.path, as_json=True)
    kinds = [json.loads(line)["kind"] for line in capfd.readouterr().out.splitlines()]
    assert kinds == ["entered", "message", "message", "message", "action", "message", "message", "missing", "message"]
    printing.show(files.path, since=1e9 + 1)
    assert capfd.readouterr().out == ""
