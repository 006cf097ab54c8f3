"""The categories that have products on sale."""

from contracts.text import fold
from query_service.read_model.demand import Demand
from query_service.read_model.reading import ReadModel
from query_service.read_model.scripts import Script

CATEGORIES = Script("categories.lua")


async def list_categories(read_model: ReadModel, demand: Demand) -> list[tuple[str, int]]:
    """Each category with the number of its listed products, none without; ordered like names."""
    (flat,) = await read_model.run(CATEGORIES, lambda g: [g.categories], lambda _: (), demand)
    counted = ((name.decode(), int(count)) for name, count in zip(flat[::2], flat[1::2], strict=True))
    return sorted((entry for entry in counted if entry[1] > 0), key=lambda entry: (fold(entry[0]), entry[0]))
