"""Editing by grapheme: what a person sees as one character is one for the keys.

prompt_toolkit counts columns code point by code point, terminals by grapheme: an emoji joined of two is four columns to
the one and two to the others. Where they differ, the line that is edited shows a stand-in that both count alike: a
joiner is ``+``, a skin tone ``*``, a flag its two letters. The text itself is not changed.
"""

import wcwidth
from prompt_toolkit.application.current import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text.utils import fragment_list_to_text
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput

_NOTHING = "\u200b"  # takes no column anywhere

_STAND_INS = {0x200D: "+", 0xFE0E: _NOTHING, 0xFE0F: _NOTHING, 0x20E3: _NOTHING}
_STAND_INS |= dict.fromkeys(range(0x1F3FB, 0x1F400), "*")  # skin tones (UTS #51, section 2.4)
_STAND_INS |= {0x1F1E6 + letter: chr(ord("A") + letter) for letter in range(26)}  # regional indicators


def stand_in(text: str) -> str:
    """The text as it is shown while it is edited: as many code points, and as wide in every terminal."""
    return text.translate(_STAND_INS)


def before(buffer: Buffer) -> int:
    """How many code points the grapheme before the cursor has; 0 at the beginning."""
    if not buffer.cursor_position:
        return 0
    return buffer.cursor_position - wcwidth.grapheme_boundary_before(buffer.text, buffer.cursor_position)


def after(buffer: Buffer) -> int:
    """How many code points the grapheme behind the cursor has; 0 at the end."""
    return len(next(wcwidth.iter_graphemes(buffer.text[buffer.cursor_position :]), ""))


class StandIns(Processor):
    """Shows the stand-ins."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Replace code points, each by one."""
        fragments = transformation_input.fragments
        if fragment_list_to_text(fragments).isascii():
            return Transformation(fragments)
        return Transformation([(style, stand_in(text), *rest) for style, text, *rest in fragments])  # type: ignore[misc]


def bindings() -> KeyBindings:
    """The keys that move over a grapheme or delete one."""
    keys = KeyBindings()

    @keys.add("left")
    @keys.add("c-b")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.cursor_position -= before(event.current_buffer)

    @keys.add("right")
    @keys.add("c-f")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.cursor_position += after(event.current_buffer)

    @keys.add("backspace")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.delete_before_cursor(before(event.current_buffer))

    @keys.add("delete")
    @keys.add("c-d", filter=Condition(lambda: bool(get_app().current_buffer.text)))
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.delete(after(event.current_buffer))

    return keys
