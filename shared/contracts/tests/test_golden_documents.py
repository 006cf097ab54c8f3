"""The documents of the read model as clients get them, one golden file each."""

from pathlib import Path

import orjson
import pytest

from contracts import documents
from contracts.documents import (
    Document,
    OrderDetails,
    OrderDetailsLine,
    OrderSummary,
    ProductDisplay,
    ProductInventory,
    UserRating,
)

GOLDEN = Path(__file__).parent / "golden" / "documents"
PRODUCT = "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"
ORDER = "0190a5f0-aaaa-7b1a-9d2e-3f4a5b6c7d8e"

DOCUMENTS: list[Document] = [
    ProductDisplay(
        id=PRODUCT,
        sku="NW-38",
        name="Côte de Blaye",
        description=None,
        category="Beverages",
        price="263.50",
        currency="EUR",
        available=17,
        is_out_of_stock=False,
        user_rating=4.33,
        rating_count=3,
        rating_histogram={"1": 0, "2": 0, "3": 1, "4": 0, "5": 2},
        is_discontinued=True,
        created_at="2026-11-21T10:00:00.000000Z",
        updated_at="2026-11-22T10:00:00.000000Z",
        version=4,
    ),
    ProductInventory(
        id=PRODUCT, name="Chai", sku=None, current_stock=9, reserved=12, available=0, shortage=3, version=6
    ),
    UserRating(user_id="ann", rating=4, version=2, updated_at="2026-11-21T10:00:00.000000Z"),
    OrderDetails(
        id=ORDER,
        customer_id="ann",
        status="partially_returned",
        lines=[
            OrderDetailsLine(
                product_id=PRODUCT,
                name="Côte de Blaye",
                quantity=3,
                unit_price="263.50",
                shipped=2,
                returned=1,
                cancelled=1,
            )
        ],
        total="790.50",
        currency="EUR",
        placed_at="2026-11-21T10:00:00.000000Z",
        updated_at="2026-11-22T10:00:00.000000Z",
        version=5,
        payment_reference="transfer 4711",
    ),
    OrderSummary(
        id=ORDER,
        customer_id="ann",
        status="paid",
        total="790.50",
        currency="EUR",
        line_count=1,
        placed_at="2026-11-21T10:00:00.000000Z",
    ),
]


def golden(document: Document) -> bytes:
    return (GOLDEN / f"{type(document).__name__}.json").read_bytes()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: type(document).__name__)
def test_the_projector_stores_the_golden_document_under_its_entity_tag(document: Document) -> None:
    sendable = documents.sendable(documents.store(document))
    assert sendable is not None
    tag, body = sendable
    assert list(orjson.loads(body).items()) == list(orjson.loads(golden(document)).items())
    assert tag == documents.entity_tag(document.version, body)
    assert tag.startswith(b'"%d-' % document.version)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: type(document).__name__)
def test_the_golden_document_is_read_back_as_it_was(document: Document) -> None:
    stored = b'"1-0"\n' + orjson.dumps(orjson.loads(golden(document)))
    assert documents.load(stored, type(document)) == document


def test_a_hidden_document_is_kept_for_the_projector_and_absent_for_clients() -> None:
    document = UserRating(user_id="ann", version=2)
    stored = documents.store(document, hidden=True)
    assert documents.sendable(stored) is None
    assert documents.load(stored, UserRating) == document
    assert documents.sendable(None) is None


def test_the_entity_tag_changes_with_any_byte_of_the_body() -> None:
    assert documents.entity_tag(3, b"{}") != documents.entity_tag(3, b"{ }")
    assert documents.entity_tag(3, b"{}") != documents.entity_tag(4, b"{}")


def test_the_revision_tells_two_states_apart_and_absence_from_both() -> None:
    first = documents.store(UserRating(user_id="ann", rating=1, version=1))
    second = documents.store(UserRating(user_id="ann", rating=2, version=1))
    assert len({documents.revision(first), documents.revision(second), documents.revision(None)}) == 3
