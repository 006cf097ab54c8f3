"""A quicker `dataclasses.replace` for documents: half of a projection's time went there."""

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar, cast

T = TypeVar("T")


def changing(cls: type[T]) -> Callable[..., T]:
    """A function that copies a frozen dataclass with slots, with some fields changed: ``change(document, price=...)``.

    The result equals that of `dataclasses.replace`; the class must have no ``__post_init__``.
    """
    names = [field.name for field in fields(cast(Any, cls))]
    setters = {name: getattr(cls, name).__set__ for name in names}
    ordered = tuple(setters.values())
    values_of = attrgetter(*names)
    new = cls.__new__

    def change(document: T, **changes: Any) -> T:
        copy = new(cls)
        for set_field, value in zip(ordered, values_of(document), strict=True):
            set_field(copy, value)
        for name, value in changes.items():
            setters[name](copy, value)
        return copy

    return change
