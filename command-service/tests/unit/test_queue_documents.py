"""Commands as JSON: what is read, what is refused and at which place, and that nothing changes on the way."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from chassis.body import parse_json
from command_service.bootstrap import ROUTES, command_reader
from command_service.envelope import CommandEnvelope, Origin, envelop
from command_service.orders.domain.place_order import PlaceOrder, PlacePastOrder
from command_service.queue.documents import NotACommand, message_of

PRODUCT = "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"
ORDER = "0190a5f0-7c3e-7b1a-9d2e-0000000000aa"
NOW = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
ORIGIN = Origin("correlation", "causation", NOW, "00-" + "a" * 32 + "-" + "b" * 16 + "-01")
READER = command_reader()
CHANGE = {"type": "ChangePrice", "data": {"product_id": PRODUCT, "price": "1"}}
LINE = {"product_id": PRODUCT, "quantity": 2}

DATA: dict[str, list[dict[str, Any]]] = {
    "AddNewProduct": [
        {"name": "Chai", "price": "18"},
        {"name": "Chai", "price": "18", "id": None},
        {"name": "Chai", "price": 18, "id": PRODUCT.upper(), "initial_stock": 5, "sku": "A 1", "description": None},
    ],
    "UpdateProductDetails": [
        {"product_id": PRODUCT, "name": "Chai"},
        {"product_id": PRODUCT, "name": "Chai", "description": None},
        {"product_id": PRODUCT, "category": None},
        {"product_id": PRODUCT, "category": "Tea", "description": "Line\nfeed"},
    ],
    "ChangePrice": [{"product_id": PRODUCT, "price": "0.1250"}],
    "DiscontinueProduct": [{"product_id": PRODUCT}],
    "RelistProduct": [{"product_id": PRODUCT}],
    "RateProduct": [{"product_id": PRODUCT, "user_id": "ann", "rating": 5}],
    "WithdrawRating": [{"product_id": PRODUCT, "user_id": "ann"}],
    "AddToInventory": [{"product_id": PRODUCT, "quantity": 1}, {"product_id": PRODUCT, "quantity": 1, "reason": None}],
    "UpdateStockFromInventoryRecount": [{"product_id": PRODUCT, "counted_quantity": 0, "reason": "é\U0001f375"}],
    "ConfirmItemsShipped": [{"product_id": PRODUCT, "quantity": 1}],
    "PlaceOrder": [
        {"customer_id": "ann", "lines": [LINE, {**LINE, "expected_price": "1.5"}, {**LINE, "expected_price": None}]},
        {"customer_id": "ann", "lines": [LINE], "id": ORDER},
    ],
    "ConfirmPayment": [{"order_id": ORDER, "amount": "1.50", "reference": "card"}],
    "ShipOrder": [
        {"order_id": ORDER},
        {"order_id": ORDER, "lines": None},
        {"order_id": ORDER, "lines": [LINE]},
    ],
    "CancelOrder": [{"order_id": ORDER}, {"order_id": ORDER, "reason": None}, {"order_id": ORDER, "reason": "x"}],
    "ReturnItems": [{"order_id": ORDER, "lines": [LINE]}, {"order_id": ORDER, "lines": [LINE], "restock": False}],
}


def read(document: Any, place: str = "#") -> CommandEnvelope:
    return READER.read(document, ORIGIN, place)


def refused(document: Any, place: str = "#") -> list[str]:
    with pytest.raises(NotACommand) as caught:
        read(document, place)
    return [fault["pointer"] for fault in caught.value.faults]


def on_the_wire(envelope: CommandEnvelope) -> Any:
    return parse_json(orjson.dumps(message_of(envelope)))


def test_there_is_an_example_of_every_command() -> None:
    assert set(DATA) == {route.command.__name__ for route in ROUTES} == set(READER.types)


@pytest.mark.parametrize("extra", [{}, {"expected_version": 3}, {"effective_at": "2011-03-01T12:00:00.5+01:00"}])
@pytest.mark.parametrize(
    ("name", "data"), [(name, data) for name, several in DATA.items() for data in several], ids=str
)
def test_a_message_is_read_as_the_very_command_that_was_sent(
    name: str, data: dict[str, Any], extra: dict[str, Any]
) -> None:
    if "expected_version" in extra and name in READER.creating:
        assert refused({"type": name, "data": data, **extra}) == ["#/expected_version"]
        return
    sent = read({"type": name, "data": data, "id": "key", **extra})
    received = READER.read_message(on_the_wire(sent), "a-message-id", NOW + timedelta(days=1))
    assert received == sent
    assert received.command.model_fields_set == sent.command.model_fields_set
    assert type(received.command) is type(sent.command)
    # However often it is passed on.
    assert on_the_wire(received) == on_the_wire(sent)


def test_by_its_route_and_by_the_queue_it_is_the_same_command() -> None:
    for route in ROUTES:
        for data in DATA[route.command.__name__]:
            by_route = envelop(route.command.model_validate(data), "key", ORIGIN)
            assert by_route.fingerprint == read({"type": route.command.__name__, "data": data}).fingerprint


def test_absent_and_null_are_other_commands_where_they_differ() -> None:
    kept, cleared = (
        read({"type": "UpdateProductDetails", "data": {"product_id": PRODUCT, "name": "x", **more}})
        for more in ({}, {"description": None})
    )
    assert kept.fingerprint != cleared.fingerprint


def test_an_id_that_the_server_chose_for_what_is_created_stays_whenever_the_message_is_read() -> None:
    sent = read({"type": "PlaceOrder", "data": DATA["PlaceOrder"][0]})
    message = on_the_wire(sent)
    assert "id" not in message["data"]
    first, again = (READER.read_message(message, None, NOW) for _ in range(2))
    assert isinstance(first.command, PlaceOrder)
    assert first.command == again.command
    assert first.command.id == sent.assigned_id == message["assigned_id"]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (None, "#/17"),
        ([], "#/17"),
        ("x", "#/17"),
        ({}, "#/17/type #/17/data"),
        ({**CHANGE, "type": 5}, "#/17/type"),
        ({**CHANGE, "type": "Nothing"}, "#/17/type"),
        ({**CHANGE, "type": "changeprice"}, "#/17/type"),
        ({**CHANGE, "type": "ExpireOrder", "data": {"order_id": ORDER}}, "#/17/type"),
        ({**CHANGE, "type": "PlacePastOrder"}, "#/17/type"),
        ({**CHANGE, "type": "RecordStockAlert"}, "#/17/type"),
        ({**CHANGE, "data": []}, "#/17/data"),
        ({**CHANGE, "data": None}, "#/17/data"),
        ({**CHANGE, "more": 1}, "#/17/more"),
        ({**CHANGE, "submitted_at": "2026-01-01T00:00:00Z"}, "#/17/submitted_at"),
        ({**CHANGE, "assigned_id": PRODUCT}, "#/17/assigned_id"),
        ({**CHANGE, "data": {"product_id": PRODUCT}}, "#/17/data/price"),
        ({**CHANGE, "data": {"product_id": PRODUCT, "price": "-1"}}, "#/17/data/price"),
        ({**CHANGE, "data": {"product_id": "1", "price": "1"}}, "#/17/data/product_id"),
        ({**CHANGE, "data": {"product_id": PRODUCT, "price": "1", "x/y": 1}}, "#/17/data/x~1y"),
        (
            {"type": "ShipOrder", "data": {"order_id": ORDER, "lines": [LINE, {**LINE, "quantity": 0}]}},
            "#/17/data/lines/1/quantity",
        ),
        ({"type": "ShipOrder", "data": {"order_id": ORDER, "lines": []}}, "#/17/data/lines"),
        (
            {"type": "PlaceOrder", "data": {"customer_id": "a", "lines": [LINE, {**LINE, "unit_price": "1"}]}},
            "#/17/data/lines/1/unit_price",
        ),
        ({**CHANGE, "id": ""}, "#/17/id"),
        ({**CHANGE, "id": "a b"}, "#/17/id"),
        ({**CHANGE, "id": "é"}, "#/17/id"),
        ({**CHANGE, "id": "a\n"}, "#/17/id"),
        ({**CHANGE, "id": "x" * 129}, "#/17/id"),
        ({**CHANGE, "id": 5}, "#/17/id"),
        *(
            ({**CHANGE, "expected_version": value}, "#/17/expected_version")
            for value in ("3", "", -1, True, 1.5, [-1], ["*"], [[1]], {}, 10**10)
        ),
        ({**CHANGE, "effective_at": "2026-11-21T10:00:00.123457Z"}, "#/17/effective_at"),
        (
            {"type": "PlaceOrder", "data": {"customer_id": "a", "lines": [LINE]}, "expected_version": "*"},
            "#/17/expected_version",
        ),
        (
            {
                "type": "AddNewProduct",
                "data": {"name": "x"},
                "expected_version": 1,
                "effective_at": "2999-01-01T00:00:00Z",
            },
            "#/17/effective_at #/17/expected_version #/17/data/price",
        ),
    ],
    ids=lambda value: str(value)[-60:],
)
def test_every_fault_is_named_by_its_place(document: Any, place: str) -> None:
    assert refused(document, "#/17") == place.split()


@pytest.mark.parametrize("key", ["!", "~" * 128, "a/b?c#d%e&f,g\"'\\"])
def test_an_id_is_1_to_128_visible_ascii_characters(key: str) -> None:
    assert read({**CHANGE, "id": key}).command_id == key


def test_without_an_id_each_command_has_one_of_its_own() -> None:
    assert read(CHANGE).command_id != read({**CHANGE, "id": None}).command_id


@pytest.mark.parametrize(
    ("said", "versions"),
    [(0, {0}), (3, {3}), ([3, 1, 3], {1, 3}), ([], set()), ("*", None), (9_999_999_999, {9_999_999_999})],
)
def test_expected_versions_are_those_of_if_match(said: Any, versions: set[int] | None) -> None:
    expected = read({**CHANGE, "expected_version": said}).expected_version
    assert expected is not None
    assert expected.versions == versions
    again = READER.read_message(on_the_wire(read({**CHANGE, "expected_version": said})), None, NOW)
    assert again.expected_version == expected


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00+00:00"),
        ("2026-11-21t10:00:00.123456z", "2026-11-21T10:00:00.123456+00:00"),
        ("2026-11-21 12:00:00+02:00", "2026-11-21T10:00:00+00:00"),
        ("2026-11-20T23:30:00.5-10:30", "2026-11-21T10:00:00.500000+00:00"),
        ("2011-03-01T12:00:00.123456789-00:00", "2011-03-01T12:00:00.123456+00:00"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00"),
    ],
)
def test_effective_at_is_any_moment_of_rfc_3339(said: str, meant: str) -> None:
    if datetime.fromisoformat(meant) > NOW:
        assert refused({**CHANGE, "effective_at": said}) == ["#/effective_at"]
        return
    effective_at = read({**CHANGE, "effective_at": said}).effective_at
    assert effective_at is not None
    assert effective_at.isoformat() == meant


@pytest.mark.parametrize(
    "said",
    [
        "yesterday",
        "",
        "2026-11-21",
        "2026-11-21T10:00:00",
        "2026-11-21T10:00Z",
        "20261121T100000Z",
        "2026-W47-6T10:00:00Z",
        "2026-11-21T10:00:00,5Z",
        "2026-11-21T10:00:00.Z",
        "2026-02-30T10:00:00Z",
        "2026-01-01T10:00:00+24:00",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "0001-01-01T00:00:00+23:00",
        "9999-12-31T23:59:59-23:00",
        "２026-11-21T10:00:00Z",
        "2026-11-21T10:00:00Z\n",
        1_790_000_000,
        True,
        ["2026-11-21T10:00:00Z"],
    ],
    ids=str,
)
def test_effective_at_of_another_form_is_refused(said: Any) -> None:
    assert refused({**CHANGE, "effective_at": said}) == ["#/effective_at"]


def test_only_an_order_of_the_past_states_its_prices() -> None:
    document = {"type": "PlaceOrder", "data": {"customer_id": "ann", "lines": [{**LINE, "unit_price": 1.5}]}}
    parsed = parse_json(orjson.dumps({**document, "effective_at": "2011-03-01T12:00:00Z"}))
    past = read(parsed)
    assert (type(past.command), past.type) == (PlacePastOrder, "PlaceOrder")
    assert READER.read_message(on_the_wire(past), None, NOW) == past


def test_a_message_without_any_id_is_refused_and_one_without_origin_is_its_own() -> None:
    with pytest.raises(NotACommand) as caught:
        READER.read_message(CHANGE, None, NOW)
    assert [fault["pointer"] for fault in caught.value.faults] == ["#/id"]
    assert READER.read_message(CHANGE, "message", NOW).command_id == "message"
    envelope = READER.read_message({**CHANGE, "id": "own"}, "message", NOW)
    assert (envelope.command_id, envelope.correlation_id, envelope.causation_id) == ("own", "own", "own")
    assert envelope.submitted_at == NOW


def test_the_id_decides_nothing_about_the_content_and_the_origin_neither() -> None:
    one = read({**CHANGE, "id": "a"})
    other = READER.read_message({**CHANGE, "id": "b", "correlation_id": "c"}, None, NOW + timedelta(hours=1))
    assert one.fingerprint == other.fingerprint
    contents: list[dict[str, Any]] = [
        {},
        {"expected_version": 1},
        {"expected_version": [1, 2]},
        {"expected_version": "*"},
        {"effective_at": "2011-03-01T12:00:00Z"},
        {"data": {"product_id": PRODUCT, "price": "2"}},
    ]
    assert len({read({**CHANGE, **content}).fingerprint for content in contents}) == len(contents)
