"""The README and the pages of docs/: their fenced blocks and their links, as a reader of Markdown finds them."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


class Block(NamedTuple):
    """A block of code.

    Attributes:
        page: the file that it stands in.
        line: where it begins there, from 1.
        kind: the first word behind its fence; empty for one that is only indented.
        reason: why it is not run, from behind ``not run:``; empty: it is.
        text: what stands in it.
    """

    page: Path
    line: int
    kind: str
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(*pages: Path) -> list[Block]:
    """All blocks of code in some pages, or in all of them."""
    return [_block(page, token) for page in pages or PAGES for token in _tokens(page) if token.type in _CODE]


_CODE = ("fence", "code_block")


def _block(page: Path, token: Token) -> Block:
    kind, _, reason = token.info.partition(" not run:")
    return Block(page, token.map[0] + 1 if token.map else 0, kind, reason.strip(), token.content)


def links(page: Path) -> list[str]:
    """Where the links and the pictures of a page lead."""
    found = [token.attrGet("href") or token.attrGet("src") for token in _tokens(page)]
    return [str(target) for target in found if target]


def anchors(page: Path) -> list[str]:
    """What a link can name behind ``#``: the headings, as GitHub spells them there."""
    titles = [after.content for token, after in itertools.pairwise(_tokens(page)) if token.type == "heading_open"]
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def words(page: Path) -> list[str]:
    """What stands between backticks."""
    return [token.content for token in _tokens(page) if token.type == "code_inline"]


def _tokens(page: Path) -> Iterator[Token]:
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        yield token
        yield from token.children or ()
