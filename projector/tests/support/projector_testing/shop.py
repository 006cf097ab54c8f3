"""Makes logs for the tests: a little shop in memory whose events are numbered as the event store would."""

import random
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson

from contracts import envelope, events, streams
from contracts.documents import load
from contracts.envelope import Metadata, RecordedEvent
from contracts.events import Event
from contracts.keys import Generation
from contracts.topology import partition_of
from projector.batch import gather
from projector.folding import Changes, State, fold
from projector.projections.indexing import IndexChange
from projector.projections.views import VIEWS

PARTITIONS = 3
GENERATION = Generation(1)
_METADATA = Metadata("Test", "c-1", "c-1", "c-1")


def product_id(number: int) -> str:
    return str(UUID(int=number))


class Log:
    """All events of a shop, in the order of their positions."""

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self._versions: dict[str, int] = {}

    def add(self, stream_id: str, event: Event, **attributes: Any) -> RecordedEvent:
        version = self._versions[stream_id] = self._versions.get(stream_id, 0) + 1
        position = len(self.events) + 1
        moment = f"2026-11-21T10:{position // 60 % 60:02}:{position % 60:02}.000000Z"
        fields: dict[str, Any] = {
            "position": position,
            "stream_id": stream_id,
            "version": version,
            "partition_key": streams.partition_key_of(stream_id),
            "type": event.type,
            "schema_version": 1,
            "data": event.model_dump(),
            "time": moment,
            "recorded_at": moment,
            "metadata": _METADATA,
        }
        recorded = RecordedEvent(**{**fields, **attributes})
        self.events.append(recorded)
        return recorded

    @property
    def settled(self) -> int:
        return len(self.events)

    def of_partition(self, partition: int) -> list[RecordedEvent]:
        return [e for e in self.events if partition_of(e.partition_key, PARTITIONS) == partition]

    def of_stream(self, stream_id: str) -> list[RecordedEvent]:
        return [e for e in self.events if e.stream_id == stream_id]


def add_product(log: Log, number: int, *, name: str = "Chai", price: str = "18.00", stock: int = 5) -> str:
    product = product_id(number)
    log.add(
        streams.product_stream(product),
        events.ProductAdded(
            name=f"{name} {number}",
            description=None,
            price=price,
            currency="EUR",
            sku=f"SKU-{number}",
            category=f"category {number % 3}" if number % 4 else None,
        ),
    )
    log.add(streams.inventory_stream(product), events.InventoryOpened(quantity=stock))
    return product


def trade(log: Log, products: Sequence[str], how_much: int, seed: int) -> Log:
    """Adds `how_much` random events that the shop's rules allow to products that were added."""
    chance = random.Random(seed)
    stock = dict.fromkeys(products, 0)
    ratings: dict[tuple[str, str], int] = {}
    for product in products:
        for event in log.of_stream(streams.inventory_stream(product)):
            stock[product] = _stock_after(stock[product], event)
    for event in log.events:
        if event.type in ("ProductRated", "RatingWithdrawn"):
            rated = event.type == "ProductRated"
            key = (event.partition_key, event.data["user_id"])
            ratings.pop(key, None)
            if rated:
                ratings[key] = event.data["rating"]
    for _ in range(how_much):
        product = chance.choice(products)
        user = f"user-{chance.randrange(3)}"
        match chance.randrange(9):
            case 0 | 1:
                log.add(streams.inventory_stream(product), events.StockAdded(quantity=chance.randint(1, 9)))
            case 2:
                counted = chance.randint(0, 9)
                event_ = events.StockRecounted(counted_quantity=counted, previous_quantity=stock[product])
                log.add(streams.inventory_stream(product), event_)
            case 3 if stock[product] > 0:
                log.add(streams.inventory_stream(product), events.ItemsShipped(quantity=stock[product]))
            case 4 | 5:
                rating = chance.randint(1, 5)
                rated_event = events.ProductRated(user_id=user, rating=rating, replaces=ratings.get((product, user)))
                log.add(streams.rating_stream(product, user), rated_event)
                ratings[product, user] = rating
            case 6 if (product, user) in ratings:
                withdrawn = events.RatingWithdrawn(user_id=user, rating=ratings.pop((product, user)))
                log.add(streams.rating_stream(product, user), withdrawn)
            case 7:
                change = chance.choice((events.ProductDiscontinued(), events.ProductRelisted()))
                log.add(streams.product_stream(product), change)
            case 8:
                name, category = f"Crème {chance.randrange(5)}", chance.choice((None, "category 1", "category 2"))
                log.add(
                    streams.product_stream(product),
                    events.ProductDetailsUpdated(name=name, description="d", category=category),
                )
            case _:
                price = f"{chance.randint(1, 99)}.50"
                log.add(streams.product_stream(product), events.PriceChanged(price=price, previous_price="1.00"))
        stock[product] = _stock_after(stock[product], log.events[-1]) if _is_stock(log, product) else stock[product]
    return log


def _is_stock(log: Log, product: str) -> bool:
    return log.events[-1].stream_id == streams.inventory_stream(product)


def _stock_after(stock: int, event: RecordedEvent) -> int:
    match event.type:
        case "StockRecounted":
            return int(event.data["counted_quantity"])
        case "ItemsShipped":
            return stock - int(event.data["quantity"])
        case _:
            return stock + int(event.data["quantity"])


def shop(products: int = 5, traded: int = 60, seed: int = 1) -> Log:
    log = Log()
    ids = [add_product(log, number) for number in range(1, products + 1)]
    return trade(log, ids, traded, seed)


def fold_into(state: State, events_: Iterable[RecordedEvent]) -> tuple[State, Changes]:
    """The state after folding a batch that has no gap."""
    changes = fold(gather(events_, GENERATION), state, GENERATION, now=0.0)
    assert not changes.gaps
    after = State({**state.versions, **changes.versions}, {**state.documents, **changes.documents}, {})
    return after, changes


def expected(log: Log) -> dict[str, Any]:
    """Every key that the read model of a log must have, computed from the log alone, indexes from all documents."""
    state, _ = fold_into(State({}, {}, {}), log.events)
    keys: dict[str, Any] = {GENERATION.version(s): str(v).encode() for s, v in state.versions.items()}
    keys |= state.documents
    keys |= indexes(state.documents)
    return keys


def indexes(documents: dict[str, bytes]) -> dict[str, Any]:
    """The indexes of documents, computed anew."""
    change = IndexChange()
    for key, stored in documents.items():
        kind = key.split(":")[1]
        view = {"product": VIEWS[0], "inventory": VIEWS[1], "rating": VIEWS[2]}[kind]
        if not stored.startswith(b"-"):
            change.move(view.facets, GENERATION, None, load(stored, view.document))
    found: dict[str, Any] = {key: set(members) for key, members in change.added.items()}
    found |= {key: str(holder).encode() for key, holder in change.pointers.items()}
    if change.counts:
        found[GENERATION.categories] = {k.encode(): str(v).encode() for k, v in change.counts.items()}
    return found


def message(events_: Iterable[RecordedEvent]) -> bytes:
    return b"[" + b",".join(map(envelope.encode, events_)) + b"]"


def ndjson(events_: Iterable[RecordedEvent]) -> bytes:
    return b"".join(orjson.dumps(orjson.loads(envelope.encode(e))) + b"\n" for e in events_)
