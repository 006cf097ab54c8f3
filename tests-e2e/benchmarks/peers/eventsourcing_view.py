"""`eventsourcing`'s projection of the shop into a table of products, in Postgres, as its documentation has it.

An event changes one row, and its position is recorded in the same transaction. The row is all that there is: no
search, no categories, no history, which our projector keeps as well.
"""

from typing import Any

from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection
from psycopg.sql import SQL, Identifier

from benchmarks.peers.eventsourcing_shop import Inventory, Product, Rating

_TABLE = SQL("""
CREATE TABLE IF NOT EXISTS {schema}.shown (
    id uuid PRIMARY KEY, name text NOT NULL, price numeric NOT NULL, category text NOT NULL,
    on_hand integer NOT NULL DEFAULT 0, rating_sum integer NOT NULL DEFAULT 0, rating_count integer NOT NULL DEFAULT 0)
WITH (fillfactor = 80)
""")
_ADD = "INSERT INTO shown (id, name, price, category) VALUES (%s, %s, %s, %s)"
_PRICE = "UPDATE shown SET price = %s WHERE id = %s"
_STOCK = "UPDATE shown SET on_hand = on_hand + %s WHERE id = %s"
_RATE = "UPDATE shown SET rating_sum = rating_sum + %s, rating_count = rating_count + %s WHERE id = %s"


class Shown(PostgresTrackingRecorder):
    """The table, and which event was the last that is in it."""

    def __init__(self, datastore: PostgresDatastore, **options: Any) -> None:
        super().__init__(datastore, **options)
        self.sql_create_statements.append(_TABLE.format(schema=Identifier(datastore.schema)))

    def apply(self, statement: str, values: tuple[Any, ...], tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(statement, values, prepare=True)


class Showing(Projection[Shown]):
    name = "shown"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        raise AssertionError(domain_event)

    @process_event.register
    def _added(self, domain_event: Product.Added, tracking: Tracking) -> None:
        e = domain_event
        self.view.apply(_ADD, (e.product_id, e.name, e.price, e.category), tracking)

    @process_event.register
    def _priced(self, domain_event: Product.PriceChanged, tracking: Tracking) -> None:
        self.view.apply(_PRICE, (domain_event.price, domain_event.originator_id), tracking)

    @process_event.register
    def _opened(self, domain_event: Inventory.Opened, tracking: Tracking) -> None:
        self.view.apply(_STOCK, (domain_event.quantity, domain_event.product_id), tracking)

    @process_event.register
    def _stocked(self, domain_event: Inventory.StockAdded, tracking: Tracking) -> None:
        self.view.apply(_STOCK, (domain_event.quantity, domain_event.product_id), tracking)

    @process_event.register
    def _rated(self, domain_event: Rating.Rated, tracking: Tracking) -> None:
        self.view.apply(_RATE, (domain_event.stars, 1, domain_event.product_id), tracking)

    @process_event.register
    def _rated_again(self, domain_event: Rating.RatedAgain, tracking: Tracking) -> None:
        e = domain_event
        self.view.apply(_RATE, (e.stars - e.replaced, 0, e.product_id), tracking)
