"""The image is bounded, keeps what is asked for, and never holds what may have been written meanwhile."""

import pytest

from query_service.read_model import image as module
from query_service.read_model.demand import NOTHING
from query_service.read_model.image import (
    CONFIRMED_SECONDS,
    HEARD_SECONDS,
    HELD_SECONDS,
    RENEWED_SECONDS,
    Image,
)

MUCH = 1_000_000


def image_of(documents, size=MUCH):
    image = Image(documents, size)
    image.subscribed(module.monotonic())
    image.confirmed(module.monotonic())
    return image


class Clock:
    time = 1000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Time stands still unless a test puts it forward."""
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", lambda: clock.time)
    return clock


def put(image, key, body=b"{}"):
    image.put(key, image.stamp(), (b'"1"', body), {})


def held(image, keys):
    return [key for key in keys if image.get(key, NOTHING)]


def test_those_that_were_asked_for_last_stay():
    image = image_of(3)
    for key in "abc":
        put(image, key)
    assert image.get("a", NOTHING) == (b'"1"', b"{}")
    put(image, "d")
    assert held(image, "abcd") == ["a", "c", "d"]


def test_no_more_bytes_are_held_than_allowed_however_few_the_documents():
    image = image_of(MUCH, 30_000)
    for key in "abcd":
        put(image, key, b" " * 9_000)
    assert held(image, "abcd") == ["b", "c", "d"]
    put(image, "e", b" " * 40_000)
    assert held(image, "abcde") == []
    for _ in range(100):  # what leaves, by whichever way, is not counted any more
        put(image, "a", b" " * 20_000)
        put(image, "a", b" " * 20_000)
        image.drop(["a"])
        put(image, "a", b" " * 20_000)
        image.clear("test")
    put(image, "a", b" " * 20_000)
    assert held(image, "a") == ["a"]


def test_no_documents_turn_it_off():
    image = image_of(0)
    put(image, "a")
    assert held(image, "a") == []


def test_absence_is_not_held_and_replaces_what_was():
    image = image_of(3)
    put(image, "a")
    image.put("a", image.stamp(), None, {})
    assert held(image, "a") == []


@pytest.mark.parametrize(
    "happens",
    [
        lambda image: image.drop(["a"]),
        lambda image: image.clear("another generation"),
        lambda image: image.deaf(),
        lambda image: image.subscribed(module.monotonic()),
    ],
)
def test_what_was_read_before_something_happened_is_not_held_after_it_nor_is_what_was_held(happens):
    image = image_of(3)
    stamp = image.stamp()
    put(image, "a")
    happens(image)
    image.heard(module.monotonic())
    assert held(image, "a") == []
    image.put("a", stamp, (b'"1"', b"{}"), {})
    assert held(image, "a") == []


def test_what_was_refused_does_not_leave_an_older_state_behind():
    """Else who has just been shown the newer one from Redis would be shown the older one again."""
    image = image_of(3)
    put(image, "a")
    image.put("a", (-1, -1), (b'"2"', b"{}"), {})
    assert held(image, "a") == []


def test_nothing_is_held_while_the_subscription_is_lost():
    image = image_of(3)
    image.deaf()
    put(image, "a")
    image.heard(module.monotonic())
    assert held(image, "a") == []


@pytest.mark.parametrize("told", ["heard", "confirmed"])
def test_nothing_is_answered_beyond_a_lease_which_counts_from_the_question(clock, told):
    """From the question: an answer that comes late, to a process that was stopped, renews nothing."""
    image = image_of(3)
    put(image, "a")
    lease = {"heard": HEARD_SECONDS, "confirmed": CONFIRMED_SECONDS}[told]
    renew = {"heard": image.heard, "confirmed": image.confirmed}
    other = renew.pop("confirmed" if told == "heard" else "heard")
    asked = clock.time
    clock.time += lease
    other(clock.time)
    assert held(image, "a") == []
    renew[told](asked)
    assert held(image, "a") == []
    renew[told](clock.time)
    assert held(image, "a") == ["a"]


def test_no_document_is_held_for_long_however_often_it_is_confirmed(clock):
    image = image_of(3)
    put(image, "a")
    clock.time += HELD_SECONDS
    image.heard(clock.time)
    image.confirmed(clock.time)
    assert held(image, "a") == []


def test_what_was_read_in_one_moment_is_not_read_again_in_one(clock):
    image = image_of(MUCH)
    names = [f"page {number}" for number in range(1000)]
    for name in names:
        put_page(image, name, ["a"])
    clock.time += HELD_SECONDS * 0.75
    image.heard(clock.time)
    image.confirmed(clock.time)
    assert 300 < len(held(image, names)) < 700


def test_one_reader_renews_the_lease_while_the_others_are_answered(clock):
    image = image_of(3)
    put(image, "a")
    clock.time += RENEWED_SECONDS
    assert held(image, "aaaa") == ["a", "a", "a"]


def put_page(image, name, sources, body=b"[]"):
    image.put_page(name, image.stamp(), (b'"1"', body), sources)


def test_a_page_leaves_with_any_key_that_it_was_read_from_and_by_whichever_way_nothing_is_left_of_it():
    image = image_of(3)
    for _ in range(3):
        put_page(image, "first", ["a", "b"])
        put_page(image, "second", ["b", "c"])
        image.drop(["a"])
        assert held(image, ["first", "second"]) == ["second"]
        put_page(image, "first", ["a", "b"])
        image.drop(["b"])
        assert held(image, ["first", "second"]) == []
    assert image._read_from == {}
    for name in "pqrst":
        put_page(image, name, ["a"])
    assert image._read_from == {"a": {"r", "s", "t"}}
    put_page(image, "t", ["z"])
    image.drop(["a"])
    assert held(image, "rst") == ["t"]
    image.clear("test")
    assert (image._read_from, image._bytes) == ({}, 0)


@pytest.mark.parametrize("source", ["a", "b"])
def test_a_page_is_not_held_if_any_key_was_announced_since_it_was_begun(source):
    image = image_of(3)
    put_page(image, "page", ["a", "b"])
    stamp = image.stamp()
    image.drop([source])
    image.drop(["other"])
    image.put_page("page", stamp, (b'"1"', b"[]"), ["a", "b"])
    assert held(image, ["page"]) == []
    stamp = image.stamp()
    image.drop(["other"])
    image.put_page("page", stamp, (b'"1"', b"[]"), ["a", "b"])
    assert held(image, ["page"]) == ["page"]


def test_the_keys_that_a_page_was_read_from_count_and_too_many_of_them_keep_it_out():
    image = image_of(MUCH, 30_000)
    for name in "abc":
        put_page(image, name, [f"{name}{n}" for n in range(50)])
    assert held(image, "abc") == ["b", "c"]
    put_page(image, "b", [f"b{n}" for n in range(500)])
    assert held(image, "abc") == ["c"]
    put_page(image, "long" * 5_000, ["d"])  # a name is as long as what asked for it
    assert held(image, ["c", "long" * 5_000]) == ["long" * 5_000]
