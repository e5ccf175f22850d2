"""The page, in a browser: two of them and a plain member in one room."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.documents import ROOT
from tests.rooms import PATIENCE, Room

AXE = ROOT / ".venv" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
    pytest.mark.timeout(120),
]


class Tab:
    """A page in a tab of its own browser window, and what a person does there."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver = driver
        driver.switch_to.new_window("tab")
        self.handle = driver.current_window_handle
        driver.get(address)

    def here(self) -> webdriver.Chrome:
        """Look at this tab."""
        self.driver.switch_to.window(self.handle)
        return self.driver

    def find(self, name: str) -> WebElement:
        return self.here().find_element(By.ID, name)

    def until(self, done: Callable[[], Any]) -> Any:
        """Wait for something to be so."""
        ignored = (NoSuchElementException, StaleElementReferenceException)
        return WebDriverWait(self.here(), PATIENCE, 0.02, ignored).until(lambda driver: done())

    def enter(self, name: str) -> "Tab":
        """Say who one is."""
        self.until(lambda: self.find("given").is_displayed())
        self.find("given").send_keys(name, Keys.ENTER)
        return self.wait_inside()

    def wait_inside(self) -> "Tab":
        """Wait until one can say something."""
        self.until(lambda: "online" in self.find("online").text and not self.find("banner").is_displayed())
        return self

    def say(self, text: str) -> None:
        """Type something that no key has, too, and press Enter."""
        self.type(text)
        self.find("box").send_keys(Keys.ENTER)

    def type(self, text: str) -> None:
        box = self.find("box")
        self.driver.execute_script(
            "arguments[0].value += arguments[1]; arguments[0].dispatchEvent(new Event('input'))", box, text
        )

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What is shown: who, and what."""
        shown = "[item.querySelector('b')?.textContent ?? '', (item.querySelector('.text') ?? item).textContent]"
        script = f"return [...document.querySelectorAll('#log li')].map((item) => {shown})"
        return [(who, text) for who, text in self.here().execute_script(script)]

    def texts(self) -> list[str]:
        return [text for _, text in self.lines]

    def see(self, text: str) -> None:
        """Wait until something is shown."""
        self.until(lambda: any(text in shown for shown in self.texts()))

    def script(self, text: str, *arguments: Any) -> Any:
        return self.here().execute_script(text, *arguments)


def browser(width: int, height: int) -> webdriver.Chrome:
    """A browser without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={width},{height}"):
        options.add_argument(flag)
    return webdriver.Chrome(options, webdriver.ChromeService(DRIVER))


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    """One for all tests; each has tabs of its own."""
    driver = browser(900, 700)
    yield driver
    driver.quit()


@pytest.fixture
def room(mode: str, tmp_path: Path) -> Iterator[Callable[..., Room]]:
    """Start a server that browsers may enter, on a store of this test."""
    rooms: list[Room] = []

    def start(*flags: str, web: str = "127.0.0.1:0") -> Room:
        flags = ("-v", "--rate", "0", "--greet-delay", "5", "--web", web, "--store", str(tmp_path / "store"), *flags)
        rooms.append(Room(mode, *flags))
        return rooms[-1]

    yield start
    for started in rooms:
        if started.running:
            started.stop()


@pytest.fixture
def tab(driver: webdriver.Chrome) -> Iterator[Callable[[Room | str], Tab]]:
    """Open the page, by the address that the server says."""
    first = driver.current_window_handle
    tabs: list[Tab] = []

    def open_tab(room: Room | str) -> Tab:
        tabs.append(Tab(driver, room if isinstance(room, str) else address(room)))
        return tabs[-1]

    yield open_tab
    for opened in tabs:
        opened.here().execute_script("localStorage.clear(); sessionStorage.clear()")
        driver.close()
        driver.switch_to.window(first)


def address(room: Room) -> str:
    """Where the page is."""
    lines = room.stderr_until("in a browser: ")
    return next(line.split("in a browser: ")[1] for line in lines if "in a browser: " in line)


Start = Callable[..., Room]
Open = Callable[[Room | str], Tab]


def test_they_talk(room: Start, tab: Open) -> None:
    """In every language, and what looks like a page is text; a private line is for one."""
    server = room()
    ann = tab(server).enter("ann")
    ann.script("localStorage.clear()")  # another person's browser
    bob, peer = tab(server).enter("bob"), server.stranger()
    peer.say("/nick zoe", "안녕하세요 👋")
    for page in (ann, bob):
        page.see("안녕하세요 👋")
    evil = "<img src=x onerror=alert(1)> https://example.org/a?b=c."
    ann.say(evil)
    bob.see(evil)
    peer.until("onerror")
    assert not bob.script("return document.querySelector('img')")
    link = bob.here().find_element(By.CSS_SELECTOR, "#log a")
    assert link.get_attribute("href") == "https://example.org/a?b=c"
    assert link.get_attribute("rel") == "noopener noreferrer nofollow"
    bob.say("/msg ann 비밀")
    ann.see("비밀")
    assert ("bob to you", "비밀") in ann.lines
    assert ("you to ann", "비밀") in bob.lines
    bob.say("ann: look")
    ann.see("ann: look")
    assert ann.here().find_elements(By.CSS_SELECTOR, "#log .mention")
    peer.say("/who")
    assert "! 3 users online" in peer.until("zoe.*you")
    assert not any("비밀" in line for line in peer.lines)


def test_how_one_types(room: Start, tab: Open) -> None:
    """Enter says it, but not inside a syllable; Shift+Enter and Tab do what they do elsewhere."""
    server = room()
    ann, peer = tab(server).enter("ann"), server.stranger()
    peer.say("/nick zoe")
    ann.see("zoe entered")
    ann.type("한")
    composing = "arguments[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, %s}))"
    for what in ("isComposing: true", "keyCode: 229"):
        ann.script(composing % what, ann.find("box"))
    assert ann.find("box").get_property("value") == "한"
    ann.find("box").send_keys(Keys.SHIFT + Keys.ENTER)
    ann.type("second")
    ann.find("box").send_keys(Keys.ENTER)
    ann.see("second")
    assert [line for line in peer.until("second") if line.startswith("[ann]")] == ["[ann] 한", "[ann] second"]
    assert ann.find("box").get_property("value") == ""
    ann.find("box").send_keys("zo", Keys.TAB, "hi", Keys.ENTER)
    peer.until(r"^\[ann\] zoe: hi$")
    ann.find("box").send_keys("/hi", Keys.TAB)
    assert ann.find("box").get_property("value") == "/history "


def test_who_reads_above_stays_there(room: Start, tab: Open) -> None:
    """New lines do not move what is looked at, and a button counts them."""
    server = room()
    ann, peer = tab(server).enter("ann"), server.stranger()
    peer.say(*(f"line {number}" for number in range(100)))
    ann.see("line 99")
    near = "const log = document.getElementById('log'); return log.scrollHeight - log.scrollTop - log.clientHeight"
    assert ann.script(near) <= 30
    ann.script("document.getElementById('log').scrollTop -= 200")
    before = ann.until(lambda: ann.script("return document.getElementById('log').scrollTop"))
    peer.say(*(f"new {number}" for number in range(50)))
    ann.see("new 49")
    assert ann.script("return document.getElementById('log').scrollTop") == before
    assert ann.find("below").text == "50 new lines below"
    ann.find("below").click()
    assert ann.script(near) <= 30
    assert not ann.find("below").is_displayed()


def test_the_server_is_killed(room: Start, tab: Open, tmp_path: Path) -> None:
    """Pages come back by themselves, miss nothing, and have said everything once; what is typed is there."""
    server = room()
    where = address(server)
    ann = tab(server).enter("ann")
    ann.script("localStorage.clear()")
    bob = tab(server).enter("bob")
    ann.say("before")
    bob.see("before")
    bob.type("half typed")
    server.crash()
    ann.until(lambda: ann.find("banner").is_displayed())
    ann.say("while it is down")
    server = room(web=where.removeprefix("http://").rstrip("/"))
    for page in (ann, bob):
        page.wait_inside()
        page.see("the server has started again")
    ann.find("box").send_keys(Keys.ENTER)
    bob.see("while it is down")
    bob.find("box").send_keys(Keys.ENTER)
    ann.see("half typed")
    for page in (ann, bob):
        said = [text for who, text in page.lines if who]
        assert said == ["before", "while it is down", "half typed"]
        assert not any("missing" in text or "maybe" in text for text in page.texts())


def test_a_page_is_loaded_anew(room: Start, tab: Open) -> None:
    """It is the same member, shows what was said last, and has what was typed."""
    server = room()
    ann, peer = tab(server).enter("ann"), server.stranger()
    peer.say("/nick zoe", "hello")
    ann.see("hello")
    ann.type("half")
    ann.here().refresh()
    ann.wait_inside()
    ann.see("hello")
    assert ann.find("box").get_property("value") == "half"
    peer.say("/who")
    assert "! 2 users online" in peer.until("zoe.*you")
    assert not any("left" in line for line in peer.lines)


def test_another_tab_has_the_place(room: Start, tab: Open) -> None:
    """One of two with one secret: the other says so, and takes it when it is told to."""
    server = room()
    ann = tab(server).enter("ann")
    claim = ann.script("return sessionStorage.claim")
    other = tab(server)
    other.wait_inside()
    other.script("sessionStorage.claim = arguments[0]; location.reload()", claim)
    ann.until(lambda: "open in another tab" in ann.find("banner").text)
    ann.here().find_element(By.CSS_SELECTOR, "#banner button").click()
    ann.wait_inside()
    other.until(lambda: "open in another tab" in other.find("banner").text)


def test_a_password(room: Start, tab: Open, tmp_path: Path) -> None:
    """It is asked for, again if it is wrong, and shown to nobody."""
    (tmp_path / "password").write_text("swordfish\n")
    server = room("--password-file", str(tmp_path / "password"))
    ann = tab(server)
    ann.until(lambda: ann.find("given").is_displayed())
    ann.find("given").send_keys("ann", Keys.ENTER)
    ann.until(lambda: ann.find("given").get_attribute("type") == "password")
    ann.find("given").send_keys("wrong", Keys.ENTER)
    ann.until(lambda: "wrong password" in ann.find("why").text)
    ann.find("given").send_keys("swordfish", Keys.ENTER)
    ann.wait_inside()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(room: Start, tab: Open, scheme: str) -> None:
    """Axe finds nothing, light or dark, and it fits a telephone."""
    server = room()
    ann, peer = tab(server), server.stranger()
    peer.say("/nick zoe", "old")
    ann.here().execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    ann.until(lambda: ann.find("given").is_displayed())
    found = [axe(ann)]
    ann.enter("ann")
    peer.say("ann: hello", "/msg ann privately", "/me waves", "long" * 200)
    ann.see("long")
    ann.say("mine")
    ann.say("/nosuch")
    ann.see("no such command")
    ann.find("online").click()
    found.append(axe(ann))
    size = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True}
    ann.here().execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert ann.script("return document.documentElement.scrollWidth") <= 360
    found.append(axe(ann))
    ann.here().execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert found == [[], [], []]


def axe(tab: Tab) -> list[str]:
    """What axe-core complains of."""
    tab.script(AXE.read_text())
    run = "const done = arguments[0]; axe.run().then((found) => done(found.violations))"
    violations = tab.here().execute_async_script(run)
    return [f"{violation['id']}: {violation['nodes'][0]['html']}" for violation in violations]
