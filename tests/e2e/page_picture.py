"""A picture of the page in use: scripts/screenshot makes it anew."""

import sys
from pathlib import Path

from tests.e2e.test_page import Tab, address, browser
from tests.rooms import Room

SIZE = (760, 620)  # of the window, its frame included


def main(file: Path) -> None:
    """Play a scene, and write what the browser shows."""
    room = Room("select", "-v", "--greet-delay", "5", "--web", "127.0.0.1:0")
    driver = browser(*SIZE)
    try:
        _play(room, Tab(driver, address(room)))
        file.write_bytes(driver.get_screenshot_as_png())
    finally:
        driver.quit()
    room.stop()


def _play(room: Room, page: Tab) -> None:
    chul, bob = room.stranger(), room.stranger()
    chul.say("/nick 김철수", "안녕하세요! 다들 잘 지내셨나요? 👋")
    bob.say("/nick bob", "The new build is green: https://ci.example.org/4711")
    bob.until("green")
    page.enter("alice")
    page.say("Then let us ship it.")
    page.see("ship it")
    bob.say("Alice, I deploy at three, if nobody minds", "/me fetches coffee ☕", "/msg alice is it really green?")
    page.see("really")
    page.say("/msg bob yes, 곧 시작합니다")
    page.see("시작합니다")
    page.type("and then")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
