"""Every event as it stands in the log and on the wire, held fast in a file per type and version.

A file that is here was published once: it may never change. A new version of an event gets a new file.
"""

from pathlib import Path

import orjson
import pytest

from contracts import envelope, events, streams
from contracts.envelope import Metadata, RecordedEvent
from contracts.events import Event

GOLDEN = Path(__file__).parent / "golden" / "events"
PRODUCT = "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"
ORDER = "0190a5f0-aaaa-7b1a-9d2e-3f4a5b6c7d8e"

NEWEST: dict[str, tuple[str, Event]] = {
    "ProductAdded": (
        f"product-{PRODUCT}",
        events.ProductAdded(
            name="Côte de Blaye",
            description="A red one",
            price="263.50",
            currency="EUR",
            sku="NW-38",
            category="Beverages",
        ),
    ),
    "ProductDetailsUpdated": (
        f"product-{PRODUCT}",
        events.ProductDetailsUpdated(name="Chai", description=None, category=None),
    ),
    "PriceChanged": (f"product-{PRODUCT}", events.PriceChanged(price="18.125", previous_price="18.00")),
    "ProductDiscontinued": (f"product-{PRODUCT}", events.ProductDiscontinued()),
    "ProductRelisted": (f"product-{PRODUCT}", events.ProductRelisted()),
    "InventoryOpened": (f"inventory-{PRODUCT}", events.InventoryOpened(quantity=39)),
    "StockAdded": (f"inventory-{PRODUCT}", events.StockAdded(available=12, quantity=10, reason="delivery 4711")),
    "StockRecounted": (
        f"inventory-{PRODUCT}",
        events.StockRecounted(available=0, counted_quantity=7, previous_quantity=9, shortage=1, reason=None),
    ),
    "ItemsShipped": (f"inventory-{PRODUCT}", events.ItemsShipped(available=4, quantity=3)),
    "StockReserved": (f"inventory-{PRODUCT}", events.StockReserved(available=4, order_id=ORDER, quantity=3)),
    "ReservationReleased": (
        f"inventory-{PRODUCT}",
        events.ReservationReleased(available=7, order_id=ORDER, quantity=3),
    ),
    "ReservedItemsShipped": (
        f"inventory-{PRODUCT}",
        events.ReservedItemsShipped(available=4, order_id=ORDER, quantity=3),
    ),
    "ItemsRestocked": (f"inventory-{PRODUCT}", events.ItemsRestocked(available=5, order_id=ORDER, quantity=1)),
    "ProductRated": (f"rating-{PRODUCT}-ann", events.ProductRated(user_id="ann", rating=4, replaces=5)),
    "RatingWithdrawn": (f"rating-{PRODUCT}-ann", events.RatingWithdrawn(user_id="ann", rating=4)),
    "OrderPlaced": (
        f"order-{ORDER}",
        events.OrderPlaced(
            customer_id="ann",
            lines=(events.OrderLine(product_id=PRODUCT, name="Côte de Blaye", quantity=3, unit_price="263.50"),),
            total="790.50",
            currency="EUR",
            payment_seconds=900,
        ),
    ),
    "OrderPaid": (f"order-{ORDER}", events.OrderPaid(amount="790.50", reference="transfer 4711")),
    "OrderItemsShipped": (
        f"order-{ORDER}",
        events.OrderItemsShipped(lines=(events.LinePieces(line=0, quantity=2),)),
    ),
    "OrderCancelled": (f"order-{ORDER}", events.OrderCancelled(reason="changed my mind", refund="0.00")),
    "RemainingItemsCancelled": (
        f"order-{ORDER}",
        events.RemainingItemsCancelled(lines=(events.LinePieces(line=0, quantity=1),), reason=None, refund="263.50"),
    ),
    "OrderExpired": (f"order-{ORDER}", events.OrderExpired()),
    "OrderItemsReturned": (
        f"order-{ORDER}",
        events.OrderItemsReturned(lines=(events.LinePieces(line=0, quantity=1),), restocked=True, refund="263.50"),
    ),
    "StockRanOut": (f"stockalert-{PRODUCT}", events.StockRanOut(available=0, inventory_version=7)),
    "StockRanLow": (
        f"stockalert-{PRODUCT}",
        events.StockRanLow(available=4, threshold=5, inventory_version=6),
    ),
}

OLDER: dict[tuple[str, int], Event] = {
    ("StockAdded", 1): events.StockAdded(available=None, quantity=10, reason="delivery 4711"),
    ("StockRecounted", 1): events.StockRecounted(available=None, counted_quantity=7, previous_quantity=9),
    ("ItemsShipped", 1): events.ItemsShipped(available=None, quantity=3),
}
"""What older versions are read as, where they say less than the newest."""


def golden_file(event_type: str, schema_version: int) -> Path:
    return GOLDEN / f"{event_type}.v{schema_version}.json"


def recorded(event_type: str) -> RecordedEvent:
    stream_id, event = NEWEST[event_type]
    return RecordedEvent(
        position=42,
        stream_id=stream_id,
        version=3,
        partition_key=streams.partition_key_of(stream_id),
        type=event.type,
        schema_version=event.schema_version,
        data=event.model_dump(),
        time="2026-11-21T10:00:00.000000Z",
        recorded_at="2026-11-21T10:00:00.000000Z",
        metadata=Metadata(
            command="SomeCommand",
            command_id="0190a5f1-0000-7000-8000-000000000001",
            correlation_id="0190a5f1-0000-7000-8000-000000000002",
            causation_id="0190a5f1-0000-7000-8000-000000000003",
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    )


@pytest.mark.parametrize("event_type", events.EVENT_TYPES)
def test_every_version_of_every_event_has_a_golden_file(event_type: str) -> None:
    newest = events.EVENT_TYPES[event_type].schema_version
    missing = [v for v in range(1, newest + 1) if not golden_file(event_type, v).exists()]
    assert not missing, f"write golden/events/{event_type}.v<n>.json for the versions {missing}"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_a_consumer_reads_every_golden_event_in_its_newest_form(path: Path) -> None:
    event = envelope.decode(orjson.loads(path.read_bytes()))
    assert path.stem == f"{event.type}.v{event.schema_version}"
    stream_id, newest = NEWEST[event.type]
    assert (event.position, event.version, event.stream_id) == (42, 3, stream_id)
    assert event.partition_key == streams.partition_key_of(stream_id)
    parsed = events.parse(event.type, event.schema_version, event.data)
    assert parsed == OLDER.get((event.type, event.schema_version), newest)


@pytest.mark.parametrize("event_type", events.EVENT_TYPES)
def test_the_producer_writes_the_golden_document(event_type: str) -> None:
    event = recorded(event_type)
    golden = orjson.loads(golden_file(event_type, event.schema_version).read_bytes())
    assert list(orjson.loads(envelope.encode(event)).items()) == list(golden.items())


def test_an_event_with_fields_of_the_future_is_still_read() -> None:
    parsed = events.parse("StockAdded", 2, {"available": 5, "quantity": 3, "supplier": "new here"})
    assert parsed == events.StockAdded(available=5, quantity=3)


@pytest.mark.parametrize(
    ("event_type", "schema_version", "data"),
    [
        ("SomethingElse", 1, {}),
        ("StockAdded", 3, {"available": 5, "quantity": 3}),
        ("StockAdded", 0, {"quantity": 3}),
        ("StockAdded", 1, {"quantity": "many"}),
        ("StockAdded", 1, {}),
    ],
)
def test_what_can_not_be_understood_is_unreadable_and_nothing_else(
    event_type: str, schema_version: int, data: dict[str, object]
) -> None:
    with pytest.raises(events.UnreadableEvent):
        events.parse(event_type, schema_version, data)
