"""The Prefer header: what can be read of it counts, the rest is no preference."""

import pytest

from chassis.prefer import NOTHING_PREFERRED, Preference, read_preference


@pytest.mark.parametrize(
    ("header", "preference"),
    [
        (None, NOTHING_PREFERRED),
        ("", NOTHING_PREFERRED),
        ("respond-async", Preference(True)),
        ("Respond-Async", Preference(True)),
        ("respond-async, wait=10", Preference(True, 10)),
        ("wait=10,respond-async", Preference(True, 10)),
        ('wait="7"', Preference(False, 7)),
        ("wait = 7", Preference(False, 7)),
        ("WAIT=7; why=not", Preference(False, 7)),
        ("respond-async; x=y, handling=lenient", Preference(True)),
        ("wait=0", Preference(False, 0)),
        ("wait=30", Preference(False, 30)),
        ("wait=31", Preference(False, 30)),
        ("wait=" + "9" * 5000, Preference(False, 30)),
        ("wait=3, wait=5", Preference(False, 3)),
        ("wait=x, wait=5", Preference(False, 5)),
        ("wait", NOTHING_PREFERRED),
        ("wait=-1", NOTHING_PREFERRED),
        ("wait=1.5", NOTHING_PREFERRED),
        ("wait=٣", NOTHING_PREFERRED),
        ('wait="7', NOTHING_PREFERRED),
        ("respond-async=true", NOTHING_PREFERRED),
        ("do-not-respond-async", NOTHING_PREFERRED),
        ("await=5", NOTHING_PREFERRED),
        ("return=minimal", NOTHING_PREFERRED),
    ],
)
def test_what_a_header_prefers(header: str | None, preference: Preference) -> None:
    assert read_preference(header) == preference


@pytest.mark.parametrize(
    ("header", "applied"),
    [
        ("respond-async", b"respond-async"),
        ("wait=99, respond-async", b"respond-async, wait=30"),
        ("wait=5", b"wait=5"),
        ("return=minimal", None),
    ],
)
def test_what_is_said_to_be_applied_is_what_counts(header: str, applied: bytes | None) -> None:
    assert read_preference(header).applied() == (() if applied is None else ((b"preference-applied", applied),))
