"""Histories and alerts: an entry for each event, placed by its position."""

from dataclasses import asdict

import orjson
from projector_testing.expectation import fold_into, journals
from projector_testing.shop import GENERATION, Log, add_product, product_id
from projector_testing.trading import shop

from contracts import events, streams
from contracts.documents import HistoryEntry, StockAlert
from contracts.keys import HISTORY_LENGTH, journal_entry
from projector.folding import State
from projector.projections.journal import history_member

EMPTY = State({}, {}, {})


def test_a_products_history_has_its_stock_ratings_and_alerts() -> None:
    log = Log()
    product = add_product(log, 1)
    log.add(streams.rating_stream(product, "u"), events.ProductRated(user_id="u", rating=5))
    log.add(streams.stock_alert_stream(product), events.StockRanOut(available=0, inventory_version=1))
    journal = fold_into(EMPTY, log.events)[1].journal
    entries = [
        orjson.loads(journal_entry(member)) for member in sorted(journal.histories[GENERATION.product_history(product)])
    ]
    assert [entry["event"] for entry in entries] == ["StockRanOut", "ProductRated", "InventoryOpened", "ProductAdded"]


def test_an_entry_is_as_the_contract_says() -> None:
    log = Log()
    add_product(log, 1)
    for event in log.events:
        entry = orjson.loads(journal_entry(history_member(event)))
        assert list(entry) == list(asdict(HistoryEntry(**entry)))
        assert (entry["at"], entry["event"], entry["version"]) == (event.time, event.type, event.version)
        assert (entry["command"], entry["command_id"], entry["data"]) == ("Test", "c-1", event.data)


def test_alerts_are_listed_with_their_thresholds() -> None:
    log = Log()
    stream = streams.stock_alert_stream(product_id(1))
    low = log.add(stream, events.StockRanLow(available=2, threshold=5, inventory_version=3))
    out = log.add(stream, events.StockRanOut(available=0, inventory_version=4))
    changes = fold_into(EMPTY, log.events)[1]
    alerts = [StockAlert(**orjson.loads(journal_entry(member))) for member in sorted(changes.journal.alerts)]
    assert alerts == [
        StockAlert(product_id(1), "StockRanOut", 0, 0, out.time),
        StockAlert(product_id(1), "StockRanLow", 2, 5, low.time),
    ]
    assert changes.versions == {stream: 2}


def test_every_event_is_in_one_history() -> None:
    log = shop(traded=300)
    journal = fold_into(EMPTY, log.events)[1].journal
    found = {key: set(members) for key, members in journal.histories.items()}
    assert found | {GENERATION.alerts: set(journal.alerts)} == journals(log)
    assert journal.alerts


def test_a_history_is_cut_and_the_list_of_alerts_is_not() -> None:
    log = shop(traded=300)
    commands = list(fold_into(EMPTY, log.events)[1].journal.commands(GENERATION))
    cut = {str(command[1]) for command in commands if command[0] == "ZREMRANGEBYRANK"}
    assert cut == set(journals(log)) - {GENERATION.alerts}
    assert all(command[2:] == [HISTORY_LENGTH, -1] for command in commands if command[0] == "ZREMRANGEBYRANK")
