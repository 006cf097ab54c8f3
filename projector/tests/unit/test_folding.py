"""Folding: any interleaving, repetition and cutting into batches gives the same read model."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projector_testing.expectation import Written, expected, fold_into
from projector_testing.shop import GENERATION, Log, add_product, product_id
from projector_testing.trading import shop

from contracts import documents, events, streams
from contracts.keys import member_id
from projector import parking
from projector.batch import gather
from projector.folding import Changes, State, fold
from projector.parking import Redrive

EMPTY = State({}, {}, {})


def folded(log_events: Any, state: State = EMPTY, **options: Any) -> Changes:
    return fold(gather(log_events, GENERATION), state, GENERATION, now=100.0, **options)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.randoms(use_true_random=False))
def test_any_interleaving_of_streams_gives_the_same_keys(seed: int, size: int, chance: random.Random) -> None:
    log = shop(products=3, traded=120, seed=seed)
    by_stream: dict[str, list[Any]] = {}
    for event in log.events:
        by_stream.setdefault(event.stream_id, []).append(event)
    state = EMPTY
    written = Written()
    while by_stream:
        batch = []
        for _ in range(size):
            if by_stream:
                stream = chance.choice(sorted(by_stream))
                batch.append(by_stream[stream].pop(0))
                if not by_stream[stream]:
                    del by_stream[stream]
        # What was applied before comes again, and everything comes in any order and twice.
        again = [e for e in log.events if e.version <= state.versions.get(e.stream_id, 0)]
        batch += chance.sample(again, min(3, len(again))) + batch[:2]
        chance.shuffle(batch)
        state, changes = fold_into(state, batch)
        written.write(changes)
    assert written.keys(state) == expected(log)


def test_an_older_event_is_ignored() -> None:
    log = shop()
    state, first = fold_into(EMPTY, log.events)
    changes = folded(log.events, state)
    assert first.applied == len(log.events)
    assert (changes.applied, changes.ignored) == (0, len(log.events))
    assert not (changes.versions or changes.documents or changes.parked)


def test_a_newer_event_is_a_gap_and_names_its_stream() -> None:
    log = shop(products=1, traded=0)
    product = product_id(1)
    log.add(streams.inventory_stream(product), events.StockAdded(quantity=1, available=6))
    newest = log.add(streams.inventory_stream(product), events.StockAdded(quantity=1, available=6))
    assert folded([*log.events[:2], newest]).gaps == {streams.inventory_stream(product): 3}


def test_a_gap_that_the_log_cant_fill_parks_the_key() -> None:
    log = Log()
    add_product(log, 1)
    forged = log.add(streams.product_stream(product_id(1)), events.ProductRelisted(), version=9)
    changes = folded(log.events, unhealable=frozenset({forged.stream_id}))
    record = changes.parked[product_id(1)]
    assert record is not None
    assert record.streams == (forged.stream_id,)
    assert changes.versions[forged.stream_id] == 1


def test_poison_parks_its_key_and_no_other() -> None:
    log = Log()
    good, bad = add_product(log, 1), add_product(log, 2)
    poison = log.add(streams.inventory_stream(bad), events.StockAdded(quantity=1, available=6), type="StockTeleported")
    log.add(streams.inventory_stream(good), events.StockAdded(quantity=1, available=6))
    log.add(streams.product_stream(bad), events.ProductDiscontinued())
    changes = folded(log.events)
    assert changes.poisoned == [(poison.id, "unknown event type 'StockTeleported'")]
    assert changes.versions[streams.inventory_stream(good)] == 2
    assert changes.versions[streams.inventory_stream(bad)] == 1
    record = changes.parked[bad]
    assert record is not None
    assert record.streams == (streams.inventory_stream(bad), streams.product_stream(bad))
    assert (record.event, record.attempts, record.left_out) == (poison.id, 1, 2)


def test_a_projection_that_fails_parks_the_key_with_its_good_beginning_applied() -> None:
    log = Log()
    product = add_product(log, 1)
    log.add(streams.rating_stream(product, "u"), events.ProductRated(user_id="u", rating=77))
    changes = folded(log.events)
    assert changes.versions == {streams.product_stream(product): 1, streams.inventory_stream(product): 1}
    assert changes.left_out == 1


def test_an_event_in_a_foreign_stream_is_poison() -> None:
    log = Log()
    product = add_product(log, 1)
    log.add(streams.product_stream(product), events.StockAdded(quantity=1, available=6))
    changes = folded(log.events)
    assert changes.parked[product] is not None
    assert changes.versions[streams.product_stream(product)] == 1


def test_later_events_of_a_parked_key_are_left_out_and_remembered() -> None:
    log = shop(products=1, traded=0)
    state, _ = fold_into(EMPTY, log.events)
    record = parking.park("inventory-x@1", "why", ["inventory-x"], 100.0)
    state = State(state.versions, state.documents, {product_id(1): record.encoded})
    later = log.add(streams.product_stream(product_id(1)), events.ProductRelisted())
    changes = folded([*log.events[:1], later], state)
    after = changes.parked[product_id(1)]
    assert not (changes.versions or changes.documents)
    assert after is not None
    assert (after.event, after.streams, after.left_out) == ("inventory-x@1", ("inventory-x", later.stream_id), 2)
    assert changes.ignored == 1


def test_a_gap_among_what_the_log_has_is_poison_for_a_redrive() -> None:
    log = shop(products=1, traded=0)
    lost = log.add(streams.product_stream(product_id(1)), events.ProductDiscontinued())
    log.add(streams.product_stream(product_id(1)), events.ProductRelisted())
    log.events.remove(lost)
    record = parking.park("inventory-x@1", "why", [], 100.0).encoded
    changes = folded(log.events, State({}, {}, {product_id(1): record}), redrive=Redrive(product_id(1), record, False))
    assert changes.gaps == {}
    assert changes.poisoned == [(log.events[-1].id, f"the log has no version 2 of {lost.stream_id}")]


@pytest.mark.parametrize("behind", [0, 5])
def test_a_document_that_cant_be_stored_is_blamed_on_the_event_that_made_it_so(behind: int) -> None:
    log = Log()
    product = add_product(log, 1)
    for user in "abc":
        log.add(streams.rating_stream(product, user), events.ProductRated(user_id=user, rating=4))
    before = log.settled
    unreadable = events.PriceChanged(price="no price", previous_price="18.00")
    poison = log.add(streams.product_stream(product), unreadable)
    for _ in range(behind):
        log.add(streams.inventory_stream(product), events.StockAdded(quantity=1, available=6))
    good, changes = folded(log.events[:before]), folded(log.events)
    [(event, reason)] = changes.poisoned
    assert (event, changes.left_out) == (poison.id, 1 + behind)
    assert "storing or indexing" in reason
    assert (changes.applied, changes.versions, changes.documents) == (before, good.versions, good.documents)


@pytest.mark.parametrize(
    "broken", [{"type": "StockTeleported"}, {"schema_version": 99}, {"data": {"quantity": "many"}}, {}]
)
def test_a_discarded_event_passes_the_gate_and_leaves_no_trace(broken: dict[str, Any]) -> None:
    log = Log()
    product = add_product(log, 1)
    inventory = streams.inventory_stream(product)
    event = log.add(inventory, events.StockAdded(quantity=50, available=55), **broken)
    log.add(inventory, events.StockAdded(quantity=1, available=6))
    batch = gather(log.events, GENERATION, frozenset({event.id}))
    changes = fold(batch, EMPTY, GENERATION, now=100.0)
    assert changes.parked == {}
    assert (changes.applied, changes.versions[inventory]) == (4, 3)
    assert len(changes.journal.histories[GENERATION.product_history(product)]) == 3
    before, _ = fold_into(EMPTY, log.events[:2])
    before.versions[inventory] = 2
    without, _ = fold_into(before, log.events[3:])
    assert changes.documents == without.documents


def test_a_machine_without_memory_is_not_the_fault_of_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    store, lacking = documents.store, [MemoryError()]

    def starved(*arguments: Any, **options: Any) -> bytes:
        if lacking:
            raise lacking.pop()
        return store(*arguments, **options)

    monkeypatch.setattr("contracts.documents.store", starved)
    with pytest.raises(MemoryError):
        folded(shop().events)


def test_a_redrive_unparks_with_the_last_of_its_events_only() -> None:
    log = shop(products=1, traded=0)
    record = parking.park("inventory-x@1", "why", [], 100.0).encoded
    state = State({}, {}, {product_id(1): record})
    assert folded(log.events, state, redrive=Redrive(product_id(1), record, False)).parked == {}
    assert folded(log.events, state, redrive=Redrive(product_id(1), record, True)).parked == {product_id(1): None}


def test_a_redrive_that_fails_waits_longer() -> None:
    log = Log()
    product = add_product(log, 1)
    log.add(streams.product_stream(product), events.ProductRelisted(), type="Unknown")
    record = parking.park("inventory-x@1", "why", [], 0.0)
    redrive = Redrive(product, record.encoded, True)
    after = folded(log.events, State({}, {}, {product: record.encoded}), redrive=redrive).parked[product]
    assert after is not None
    assert (after.event, after.attempts) == (log.events[-1].id, 2)
    assert after.next_attempt == 100.0 + 2 * parking.FIRST_RETRY
    for _ in range(40):
        after = after.failed_again(after.event, "again", 0.0)
    assert after.next_attempt == parking.LONGEST_RETRY


def test_only_what_differs_is_written_to_the_indexes() -> None:
    log = shop(products=1, traded=0)
    state, _ = fold_into(EMPTY, log.events)
    priced = log.add(streams.product_stream(product_id(1)), events.PriceChanged(price="99.00", previous_price="18.00"))
    index = folded([priced], state).index
    assert all(":price" in key or ":-price" in key for key in (*index.added, *index.removed))
    assert {member_id(m) for members in index.added.values() for m in members} == {product_id(1)}
    stocked = log.add(streams.rating_stream(product_id(1), "u"), events.ProductRated(user_id="u", rating=3))
    assert all("-rating" in key for key in folded([stocked], state).index.added)
