"""What orders add to the sums of a day and to what is bought together."""

from dataclasses import fields

from projector_testing.expectation import fold_into
from projector_testing.orders import pay, pieces, place
from projector_testing.shop import GENERATION, Log, order_id, product_id
from projector_testing.trading import shop

from contracts import events, streams
from contracts.documents import DaySales
from projector.folding import Changes, State
from projector.projections.tallies import Tally

EMPTY = State({}, {}, {})
DAY, NEXT_DAY = "2026-11-21", "2026-11-22"
ONE, TWO, THREE = (product_id(n) for n in (1, 2, 3))


def counted(log: Log) -> Tally:
    return fold_into(EMPTY, log.events)[1].tally


def sums_after(event: events.Event) -> dict[str, int]:
    """What an event adds to its day, of an order of 3 and 1 pieces."""
    log = Log()
    order = place(log, 1, {ONE: 3, TWO: 1})
    log.add(streams.order_stream(order), event, time=f"{NEXT_DAY}T00:00:00.000000Z")
    return counted(log).sums.get(GENERATION.sales(NEXT_DAY), {})


def test_an_order_is_sold_on_the_day_that_it_is_paid() -> None:
    log = Log()
    order = place(log, 1, {ONE: 3, TWO: 1}, time=f"{DAY}T23:59:59.999999Z")
    pay(log, order, "10.0001", time=f"{NEXT_DAY}T00:00:00.000000Z")
    assert counted(log).sums == {GENERATION.sales(NEXT_DAY): {"orders": 1, "units": 4, "revenue": 100_001}}


def test_what_is_cancelled_and_returned_counts_on_its_own_day() -> None:
    cancelled = events.OrderCancelled(reason=None, refund="10.00")
    rest = events.RemainingItemsCancelled(lines=pieces(1), reason=None, refund="2.50")
    back = events.OrderItemsReturned(lines=pieces(2, 1), restocked=False, refund="7.50")
    assert sums_after(cancelled) == {"cancelled_orders": 1, "refunds": 100_000}
    assert sums_after(events.OrderExpired()) == {"cancelled_orders": 1}
    assert sums_after(rest) == {"refunds": 25_000}
    assert sums_after(back) == {"returned_units": 3, "refunds": 75_000}
    assert sums_after(events.OrderItemsShipped(lines=pieces(1))) == {}


def test_the_sums_are_the_fields_of_the_days_document() -> None:
    tally = counted(shop(traded=800))
    counted_fields = {name for day in tally.sums.values() for name in day}
    assert counted_fields == {field.name for field in fields(DaySales)} - {"date"}


def test_an_events_increments_are_summed_before_they_are_written() -> None:
    log = Log()
    for number in (1, 2, 3):
        pay(log, place(log, number, {ONE: 1, TWO: 1}), time=f"{DAY}T10:00:00.000000Z")
    together = {(command, key): pairs for command, key, pairs in counted(log).increments()}
    assert together == {
        ("HINCRBY", GENERATION.sales(DAY)): ["orders", 3, "units", 6, "revenue", 300_000],
        ("ZINCRBY", GENERATION.bought_with(ONE)): [-3, TWO],
        ("ZINCRBY", GENERATION.bought_with(TWO)): [-3, ONE],
    }


def test_a_product_in_two_lines_is_bought_once_and_not_with_itself() -> None:
    log = Log()
    order = order_id(1)
    line = events.OrderLine(product_id=ONE, name="Chai", quantity=1, unit_price="1.00")
    lines = (line, line, line.model_copy(update={"product_id": TWO}))
    placed = events.OrderPlaced(customer_id="a", lines=lines, total="3.00", currency="EUR", payment_seconds=None)
    log.add(streams.order_stream(order), placed)
    pay(log, order)
    assert counted(log).scores == {GENERATION.bought_with(ONE): {TWO: -1}, GENERATION.bought_with(TWO): {ONE: -1}}


def test_an_order_of_more_than_100_products_does_not_count_as_bought_together() -> None:
    for products, pairs in ((1, 0), (100, 9900), (101, 0)):
        log = Log()
        pay(log, place(log, 1, {product_id(n): 1 for n in range(products)}))
        tally = counted(log)
        assert tally.size == sum(map(len, tally.scores.values())) == pairs
        assert tally.sums


def test_what_was_applied_before_is_not_counted_again() -> None:
    log = shop(traded=300)
    state, first = fold_into(EMPTY, log.events)
    again = fold_into(state, log.events)[1]
    assert first.tally.sums and first.tally.scores
    assert (again.tally, again.journal.histories, again.journal.alerts) == (Tally(), {}, [])


def test_what_is_parked_is_not_counted_until_it_is_applied() -> None:
    log = Log()
    order = place(log, 1, {ONE: 1, TWO: 1})
    log.add(streams.order_stream(order), events.OrderPaid(amount="1.00", reference="r"), type="Unknown")
    changes = fold_into(EMPTY, log.events)[1]
    assert (changes.tally, changes.left_out) == (Tally(), 1)
    assert len(changes.journal.histories[GENERATION.order_history(order)]) == 1


def test_an_amount_that_cant_be_added_up_parks_its_order_and_no_other() -> None:
    for amount in ("1" + "0" * 30, "many"):
        log = Log()
        pay(log, place(log, 1, {ONE: 1}), amount)
        pay(log, place(log, 2, {TWO: 1}), "1.00", time=f"{DAY}T10:00:00.000000Z")
        changes: Changes = fold_into(EMPTY, log.events)[1]
        assert list(changes.parked) == [order_id(1)]
        assert changes.tally.sums == {GENERATION.sales(DAY): {"orders": 1, "units": 1, "revenue": 10_000}}


def test_a_batch_that_would_keep_redis_busy_is_given_up() -> None:
    log = Log()
    for number in range(7):
        pay(log, place(log, number, {product_id(n): 1 for n in range(100)}))
    assert fold_into(EMPTY, log.events[:12])[1].is_too_much is False
    assert fold_into(EMPTY, log.events)[1].is_too_much is True
