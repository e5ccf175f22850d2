"""What holds for all names."""

import random
import unicodedata

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chatctl.room.people import LONGEST, Names, RefusedError, key, look, spelled

LETTERS = st.characters(categories=["L", "M"]) | st.sampled_from("aAlI10oObB-_.аӏісеοі김ユ々ー\u0301\u3164ı")
TYPED = st.text(LETTERS, min_size=1, max_size=LONGEST)


@settings(max_examples=2_000)
@given(TYPED)
def test_a_name_stays_one(typed: str) -> None:
    """What is accepted is accepted again, unchanged."""
    try:
        name = spelled(typed)
    except RefusedError:
        assume(False)
    assert spelled(name) == name
    assert unicodedata.is_normalized("NFC", name)


def test_a_hundred_thousand_names() -> None:
    """Of names made of letters that are much alike, none that is had is the same as another, or looks like it."""
    dice = random.Random(7)
    letters = "aаɑαbьcсeеiіlI1oо0Oοsѕxхyуʏ김철유ユ佐-_.é\u0301"
    names, had = Names(), 0
    keys: set[str] = set()
    looks: set[str] = set()
    for uid in range(1, 100_001):
        try:
            name = spelled("".join(dice.choices(letters, k=dice.randint(1, 4))))
            assert spelled(name) == name
            names.check(name, uid, "h", 0.0)
        except RefusedError:
            continue
        assert key(name) not in keys
        assert look(name) not in looks
        keys.add(key(name))
        looks.add(look(name))
        names.take(uid, name)
        had += 1
    assert had > 1_000


@settings(max_examples=500)
@given(st.lists(st.text(st.sampled_from("аaAlI1іoо0O"), min_size=1, max_size=3), max_size=30))
def test_no_two_look_alike(typed: list[str]) -> None:
    """Of two names that are shown alike only the first is ever had."""
    names, had = Names(), {}
    for uid, word in enumerate(typed, 1):
        try:
            name = spelled(word)
            names.check(name, uid, "h", 0.0)
        except RefusedError:
            continue
        names.take(uid, name)
        assert look(name) not in had
        had[look(name)] = uid
        assert names.find(name) == uid
