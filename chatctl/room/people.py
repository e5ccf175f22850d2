"""Who is called what, and who ignores whom: which names there are, and which of them are free.

A name is chosen by `/nick`; who has none is called by the address. A name is good when it follows the rules of
`spelled`, and free when nobody's is the same or looks like it. An address always has a ``:`` and a name never has one,
so that neither can pass for the other.

The rule of one script is the "Highly Restrictive" level of UTS 39 (Unicode Security Mechanisms), section 5.2, for the
scripts that people write today; the look-alikes are the letters of Latin that Cyrillic, Greek and Armenian have too,
and the digits among them.
"""

import math
import unicodedata
from collections import deque
from collections.abc import Collection
from typing import NamedTuple, TypeVar

LONGEST = 20
"""Characters that a name may have."""

KEPT = 60.0
"""Seconds for which a name is kept for who had it, when its owner has gone."""

_MOST_KEPT = 10_000  # names kept at a time; the oldest are free sooner
_MARKS = 3  # in a row: more would cover the lines above and below

_ALONE = (
    "LATIN GREEK CYRILLIC ARMENIAN HEBREW ARABIC THAANA DEVANAGARI BENGALI GURMUKHI GUJARATI ORIYA TAMIL TELUGU "
    "KANNADA MALAYALAM SINHALA THAI LAO TIBETAN MYANMAR GEORGIAN ETHIOPIC KHMER"
)
_TOGETHER = ("LATIN CJK HIRAGANA KATAKANA", "LATIN CJK BOPOMOFO", "LATIN CJK HANGUL")
_SCRIPTS = [frozenset([script]) for script in _ALONE.split()] + [frozenset(group.split()) for group in _TOGETHER]
_ANY = frozenset().union(*_SCRIPTS)  # where a mark belongs that no script has for itself

_LATIN = (range(0x1C0), range(0x1C4, 0x250), range(0x1E00, 0x1F00))  # without phonetic letters and look-alikes
_IGNORABLE = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5} | {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10)}
_IGNORABLE |= {*range(0xE0100, 0xE01F0)}  # DerivedCoreProperties.txt: Default_Ignorable_Code_Point, letters and marks

_LOOKS = str.maketrans(
    "аеѕіјорсухӏһԁԛԝѵүгАВЕЅІЈКМНОРСТУХαγικνορτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧհոռսօցքı10",
    "aesijopcyxlhdqwvyrABESIJKMHOPCTYXayikvoptuxABEZHIKMNOPTYXhnnuogfilo",
)

_RULE = f"a name has 1 to {LONGEST} letters, digits, - _ . and begins with a letter"
_ONE_SCRIPT = "a name has letters of one script"


K = TypeVar("K")
V = TypeVar("V")


class RefusedError(Exception):
    """A name cannot be had; ``text`` says why, to who wants it, and ``code`` says it to programs."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def spelled(typed: str) -> str:
    """The name that somebody means: what was typed, composed and without compatibility forms (NFKC).

    Nothing else is mended: who types something that is no name is told so.

    Raises:
        RefusedError: it is no name (``name``).
    """
    name = unicodedata.normalize("NFKC", typed)
    if not 1 <= len(name) <= LONGEST or unicodedata.category(name[0])[0] != "L" or not _is_spelled(name):
        raise RefusedError("name", _RULE)
    scripts = {_scripts(char) for char in name}
    if not any(all(script & group for script in scripts) for group in _SCRIPTS):
        raise RefusedError("name", _ONE_SCRIPT)
    if key(name) in _NOBODYS_KEYS or look(name) in _NOBODYS_LOOKS:
        raise RefusedError("name", f"{name} is nobody's name")
    return name


def key(name: str) -> str:
    """What two names have in common that are the same but for capitals."""
    return unicodedata.normalize("NFKC", name.casefold())


def look(name: str) -> str:
    """What two names have in common that are shown alike."""
    return name.translate(_LOOKS).casefold().replace("i", "l")


_NOBODYS = ("you", "server", "chatctl", "everyone", "nobody")
_NOBODYS_KEYS = {*map(key, _NOBODYS), "all", "here"}
_NOBODYS_LOOKS = {*map(look, _NOBODYS)}  # without all and here: Ali looks like one of them


def _is_spelled(name: str) -> bool:
    marks = 0
    for char in name:
        kind = unicodedata.category(char)[0]
        marks = marks + 1 if kind == "M" else 0
        if marks > _MARKS or ord(char) in _IGNORABLE or not (kind in "LM" or char in "0123456789-_."):
            return False
    return True


def _scripts(char: str) -> frozenset[str]:
    """The scripts that a character belongs to, by its name in the Unicode Character Database."""
    kind = unicodedata.category(char)[0]
    first = unicodedata.name(char, "").partition(" ")[0]
    if kind not in "LM" or (kind == "M" and first == "COMBINING"):
        return _ANY
    if first == "LATIN" and not any(ord(char) in letters for letters in _LATIN):
        return frozenset()
    return frozenset({"IDEOGRAPHIC": "CJK"}.get(part, part) for part in first.split("-"))


class _Holder(NamedTuple):
    """Whose a name is: somebody's who is here, or, without a number, for a while nobody's but one host's.

    ``former``: the number of who had it, and may come back from anywhere.
    """

    name: str
    uid: int
    host: str = ""
    until: float = math.inf
    former: int = 0


class Names:
    """Who is called what: no two people are called the same, or by names that look alike."""

    def __init__(self) -> None:
        self._addresses: dict[str, int] = {}  # who is called by the address
        self._keys: dict[str, _Holder] = {}
        self._looks: dict[str, _Holder] = {}
        self._kept: deque[_Holder] = deque()  # the oldest first
        self._former: dict[str, tuple[int, float]] = {}  # by key: who was called so, until when that is remembered

    def find(self, text: str) -> int:
        """The number of who is called so, in capitals or not; 0: nobody is."""
        holder = self._keys.get(key(text))
        return self._addresses.get(text) or (holder.uid if holder else 0)

    def home(self, text: str) -> str:
        """Where who had a name came from, while it is kept for that one; empty: it is not."""
        holder = self._keys.get(key(text))
        return holder.host if holder else ""

    def heir(self, text: str, now: float) -> int:
        """The number of who was called so until a moment ago, and has another name now; 0: nobody."""
        uid, until = self._former.get(key(text), (0, now))
        return uid if until > now else 0

    def check(self, name: str, uid: int, host: str, now: float) -> None:
        """See whether somebody can have a name from `spelled`.

        Args:
            name: the name.
            uid: the number of who wants it, who may come back; 0: that one has none yet.
            host: where that one comes from, without the port.
            now: the time, in seconds of any clock that only goes forward.

        Raises:
            RefusedError: somebody else has it, or one that looks like it, or had it a moment ago (``taken``).
        """
        for holder in (self._keys.get(key(name)), self._looks.get(look(name))):
            if holder is None or (holder.uid and holder.uid == uid):
                continue
            if not holder.uid and (holder.host == host or (uid and holder.former == uid) or holder.until <= now):
                continue
            if not holder.uid:
                raise RefusedError("taken", f"{holder.name} is kept for {holder.until - now:.0f} s for who had it")
            if key(holder.name) == key(name):
                raise RefusedError("taken", f"{holder.name} is taken")
            raise RefusedError("taken", f"{name} looks like {holder.name}, who is here")

    def enter(self, uid: int, address: str) -> str:
        """What a newcomer is called that has no name: its address, with a number where that is here already."""
        name, number = address, 1
        while name in self._addresses:
            number += 1
            name = f"{address}~{number}"
        self._addresses[name] = uid
        return name

    def take(self, uid: int, name: str) -> None:
        """Let somebody who is called nothing be called by a name that it can have."""
        holder = _Holder(name, uid)
        self._keys[key(name)] = self._looks[look(name)] = holder

    def drop(self, uid: int, name: str, now: float) -> None:
        """Let somebody be called nothing, who will be called something else at once."""
        if self._addresses.pop(name, None) is None:
            self._free(self._keys[key(name)])
            self._former.pop(key(name), None)
            self._former[key(name)] = uid, now + KEPT
            if len(self._former) > _MOST_KEPT:
                del self._former[next(iter(self._former))]

    def leave(self, name: str, uid: int, host: str, now: float) -> None:
        """Note that who is called so has gone: a name is kept for that one, and its host, for a while."""
        if self._addresses.pop(name, None) is not None:
            return
        self._free(self._keys[key(name)])
        kept = _Holder(name, 0, host, now + KEPT, uid)
        self._keys[key(name)] = self._looks[look(name)] = kept
        self._kept.append(kept)
        while self._kept[0].until <= now or len(self._kept) > _MOST_KEPT:
            self._free(self._kept.popleft())

    def _free(self, holder: _Holder) -> None:
        """Let a name be anybody's, unless it has another holder by now."""
        for table, mark in ((self._keys, key(holder.name)), (self._looks, look(holder.name))):
            if table.get(mark) is holder:
                del table[mark]


class Ignored:
    """Who does not want to read what somebody says, by the number of that one, or by the address without port.

    Numbers and not names: who is ignored stays so under another name, and who takes the name next is not. ``table``: by
    whom each is ignored; it is empty in most rooms, at which whoever has something to say looks first.
    """

    def __init__(self) -> None:
        self.table: dict[int | str, dict[int, None]] = {}
        self._of: dict[int, dict[int | str, None]] = {}  # the other way round

    def add(self, uid: int, whom: int | str) -> None:
        """Let somebody ignore a person, or all from an address."""
        self.table.setdefault(whom, {})[uid] = None
        self._of.setdefault(uid, {})[whom] = None

    def remove(self, uid: int, whom: int | str) -> bool:
        """Let somebody hear a person, or an address, again; return whether that was ignored."""
        if whom not in self._of.get(uid, ()):
            return False
        _strike(self.table, whom, uid)
        _strike(self._of, uid, whom)
        return True

    def of(self, uid: int) -> list[int | str]:
        """Whom somebody ignores."""
        return list(self._of.get(uid, ()))

    def by(self, uid: int, host: str) -> Collection[int]:
        """Who ignores a person that comes from an address."""
        return {**self.table.get(uid, {}), **self.table.get(host, {})}

    def leave(self, uid: int) -> None:
        """Forget somebody who has gone, as who ignores and as who is ignored."""
        for whom in self.of(uid):
            self.remove(uid, whom)
        for other in list(self.table.get(uid, ())):
            self.remove(other, uid)


def _strike(table: dict[K, dict[V, None]], key: K, value: V) -> None:
    del table[key][value]
    if not table[key]:
        del table[key]
