"""What a request demands to have been seen, and when a read model has seen it."""

import pytest

from chassis.problems import Problem
from contracts import tokens
from contracts.keys import Generation
from query_service.read_model.demand import NOTHING, Demand, demanded

A = "00000000-0000-4000-8000-00000000000a"
B = "00000000-0000-4000-8000-00000000000b"


def token(*streams):
    return tokens.encode(dict(enumerate(streams)), 8)


def test_no_header_demands_nothing():
    assert demanded(None, 5) is NOTHING
    assert NOTHING.met([])


async def test_every_stream_of_every_token_is_demanded():
    demand = demanded(f"{token((f'product-{A}', 3))} ,, {token((f'rating-{B}-u', 300), (f'inventory-{A}', 1))}", None)
    assert [(seen.stream_id, seen.version) for seen in demand.seen] == [
        (f"product-{A}", 3),
        (f"rating-{B}-u", 300),
        (f"inventory-{A}", 1),
    ]
    keys = demand.keys(Generation(4))
    assert keys[::2] == [f"g4:version:product-{A}", f"g4:version:rating-{B}-u", f"g4:version:inventory-{A}"]
    assert keys[1::2] == [f"g4:parked:{seen.partition}" for seen in demand.seen]


@pytest.mark.parametrize(
    ("values", "met"),
    [
        ([b"3", None], True),
        ([b"4", None], True),
        ([b"2", None], False),
        ([None, None], False),
        ([b"3", b"1"], False),
        ([b"10", None], True),
    ],
)
async def test_a_demand_is_met_by_the_version_with_nothing_parked(values, met):
    demand = demanded(token((f"product-{A}", 3)), 0)
    assert demand.met(values) is met


async def test_all_of_it_must_be_met():
    demand = demanded(token((f"product-{A}", 3), (f"product-{B}", 1)), 0)
    assert demand.met([b"3", None, b"1", None])
    assert not demand.met([b"3", None, None, None])
    assert not demand.met([b"2", None, b"1", None])


async def test_what_a_read_has_told_is_told_by_stream_and_partition():
    demand = demanded(token((f"product-{A}", 3), (f"product-{B}", 1)), 0)
    assert demand.versions([b"5", None, b"1", None]) == {
        (seen.stream_id, seen.partition): version for seen, version in zip(demand.seen, (5, 1), strict=True)
    }


async def test_an_endless_list_of_tokens_is_refused():
    with pytest.raises(Problem, match="no token"):
        demanded(",".join([token((f"product-{A}", 1))] * 2000), 0)


def test_a_demand_without_streams_has_no_partitions():
    assert Demand().partitions == set()
