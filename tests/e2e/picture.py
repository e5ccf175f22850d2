"""A picture of the client in use, for the README: scripts/screenshot makes it anew."""

import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.e2e.screen import Tmux
from tests.rooms import Room

COLUMNS, ROWS = 80, 16


def main(file: Path) -> None:
    """Play a scene, and write what the terminal shows as SVG."""
    room = Room("select")
    with tempfile.TemporaryDirectory() as directory:
        tmux = Tmux(Path(directory), COLUMNS, ROWS)
        try:
            _play(room, tmux)
            shown = tmux("capture-pane", "-p", "-e")
        finally:
            tmux.close()
    room.stop()
    console = Console(width=COLUMNS, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    rows = shown.splitlines()
    welcome = next(number for number, row in enumerate(rows) if "Connected" in row)
    console.print(Text.from_ansi("\n".join(rows[welcome:])), end="")
    svg = console.export_svg(title="chatctl client 127.0.0.1 9999 --nick alice")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # no fonts from elsewhere
    file.write_text(svg.replace("<text ", '<text xml:space="preserve" '))


def _play(room: Room, tmux: Tmux) -> None:
    alice, bob = room.peer(), room.peer()
    alice.say("/nick 김철수")
    bob.say("/nick bob")
    bob.until("you are bob now")
    tmux.run("client", "127.0.0.1", str(room.port), "--nick", "alice")
    tmux.until("and you")
    alice.say(
        "안녕하세요! 다들 잘 지내셨나요? 👋",
        "The new build is green, the release notes are in the wiki, and the tests took four minutes.",
    )
    tmux.until("four minutes")
    tmux.type("Then let us ship it.")
    tmux.key("Enter")
    tmux.until("[You]")
    bob.say("Alice, I deploy at three, if nobody minds", "/me fetches coffee ☕")
    tmux.until("coffee")
    bob.say("/msg alice is it really green?")
    tmux.until("really")
    carol = room.peer()
    carol.say("/nick вова", "late again… what did I miss? 👩‍💻")
    tmux.until("miss?")
    bob.half_close()
    tmux.until("left")
    tmux.type("/msg bob yes, 곧 시작합니다")
    tmux.until("시작합니다")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
