"""Deadlines against the naive model: a dictionary that is searched."""

from hypothesis import given
from hypothesis import strategies as st

from chatctl.room.deadlines import Deadlines

KEYS = st.integers(0, 30)
TIMES = st.integers(0, 100)
STEPS = st.lists(
    st.tuples(st.just("set"), KEYS, TIMES)
    | st.tuples(st.just("drop"), KEYS, st.none())
    | st.tuples(st.just("due"), st.none(), TIMES),
    max_size=300,
)


@given(STEPS)
def test_deadlines(steps: list[tuple[str, int, int]]) -> None:
    """Each key has the deadline that was set last, and its purpose; what is due comes out once, the earliest first."""
    deadlines: Deadlines[int, int] = Deadlines()
    model: dict[int, tuple[float, int]] = {}
    for number, (what, key, time) in enumerate(steps):
        if what == "set":
            deadlines.set(key, time, number)
            model[key] = time, number
        elif what == "drop":
            deadlines.drop(key)
            model.pop(key, None)
        else:
            due = list(deadlines.due(time))
            assert set(due) == {(key, purpose) for key, (at, purpose) in model.items() if at <= time}
            times = [model.pop(key)[0] for key, _ in due]
            assert times == sorted(times)
        assert deadlines.first == min((at for at, _ in model.values()), default=None)


def test_memory_is_bounded_by_the_keys() -> None:
    """A deadline that is moved a thousand times does not leave a thousand entries behind."""
    deadlines: Deadlines[str, str] = Deadlines()
    for time in range(1_000):
        deadlines.set("a", time, "old")
        deadlines.set("b", time, "new")
    assert len(deadlines._heap) < 100
    assert list(deadlines.due(1_000)) == [("a", "old"), ("b", "new")]
