"""What both sides are given."""

import re
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest

from benchmarks import workload
from command_service.bootstrap import ROUTES

TYPES = {route.command.type_name(): route.command for route in ROUTES}
REQUIREMENTS = Path(__file__).parent / "peers" / "requirements.txt"
LOCK = Path(__file__).parents[2] / "uv.lock"
SHARED = ("aio-pika", "asyncpg", "fastapi", "httptools", "pydantic", "sqlalchemy", "starlette", "uvicorn", "uvloop")


@pytest.mark.parametrize("commands", [workload.mixed(500), workload.catalogue(0, 20), workload.stocked(20)])
def test_every_command_is_one_that_stockroom_takes(commands: object) -> None:
    for command in commands:  # type: ignore[attr-defined]
        TYPES[command["type"]].model_validate(command["data"])


def test_the_mixed_workload_is_the_same_every_time_and_names_only_products_that_it_has_added() -> None:
    assert list(workload.mixed(1000)) == list(workload.mixed(1000))
    added = set()
    for command in workload.mixed(5000):
        data = command["data"]
        if command["type"] == "AddNewProduct":
            added.add(data["id"])
        else:
            assert data["product_id"] in added


def test_a_tenth_of_the_mixed_workload_adds_products() -> None:
    kinds = Counter(command["type"] for command in list(workload.mixed(10_000))[1000:])
    assert kinds["AddNewProduct"] == 900
    assert all(2500 < kinds[kind] < 2900 for kind in ("ChangePrice", "AddToInventory", "RateProduct"))


def test_ids_are_uuids_of_version_7_in_the_order_of_their_numbers() -> None:
    ids = [workload.identifier(1, number) for number in range(1000)]
    assert ids == sorted(set(ids))
    assert {UUID(each).version for each in ids} == {7}


def test_a_word_is_shared_by_a_share_of_the_products_that_does_not_grow() -> None:
    words = Counter(workload.name(number).split()[0] for number in range(10_000))
    assert set(words.values()) == {20}


def test_peers_use_the_same_versions_of_what_stockroom_uses_too() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)", REQUIREMENTS.read_text(), re.MULTILINE))
    locked = dict(re.findall(r'^name = "([\w-]+)"\nversion = "([\w.]+)"', LOCK.read_text(), re.MULTILINE))
    assert {name: pinned[name] for name in SHARED} == {name: locked[name] for name in SHARED}
