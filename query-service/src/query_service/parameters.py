"""The types of query and path parameters: what may be asked, and how it is refused."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from chassis.body import invalid
from chassis.http import Call, PathParameter
from chassis.problems import parameter_error
from contracts.money import to_ticks

MOST_WORDS: Final = 10
LONGEST_SEARCH: Final = 200
MOST_IDS: Final = 100

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_AMOUNT: Final = re.compile(r"[0-9]{1,11}(\.[0-9]{1,4})?")
_WHOLE: Final = re.compile(r"[0-9]{1,13}")
_STARS: Final = re.compile(r"[0-9](\.[0-9]{1,4})?")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

SKU: Final = PathParameter(
    re.compile(r"[ -.0-~]{1,64}"),
    "a SKU: 1–64 printable ASCII characters without /",
    {"type": "string", "pattern": r"^[ -.0-~]{1,64}$"},
)
USER_ID: Final = PathParameter(
    re.compile(r"[!-.0-~]{1,64}"),
    "a user id: 1–64 visible ASCII characters without /",
    {"type": "string", "pattern": r"^[!-.0-~]{1,64}$"},
)


class Parameters(BaseModel):
    """Query parameters of an operation. One that is not named here is refused, so that no filter is lost silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def no_query(call: Call) -> None:
    """Refuses whatever stands in the query of an operation that takes none."""
    names = dict.fromkeys(name for name, _ in call.query())
    if names:
        raise invalid([parameter_error(name, "This field is not known here; remove it.") for name in names])


def _text(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("Control characters such as NUL or line feeds are not allowed here")
    return value


def _amount(value: Any) -> int:
    if not _AMOUNT.fullmatch(str(value)):
        raise ValueError('Expected an amount such as "349.99": at least 0, with up to 11 digits and 4 decimals')
    return to_ticks(str(value))


def _flag(value: Any) -> bool:
    if value not in ("true", "false"):
        raise ValueError("Expected true or false")
    return bool(value == "true")


def _whole(value: Any) -> int:
    if not _WHOLE.fullmatch(str(value)):
        raise ValueError("Expected a whole number of at least 0, with up to 13 digits")
    return int(value)


def _limit(value: Any) -> int:
    if not _WHOLE.fullmatch(str(value)) or not 1 <= int(value) <= 100:
        raise ValueError("Expected a whole number from 1 to 100")
    return int(value)


def _stars(value: Any) -> Decimal:
    if not _STARS.fullmatch(str(value)) or not 0 <= Decimal(str(value)) <= 5:
        raise ValueError("Expected a number from 0 to 5, with up to 4 decimals")
    return Decimal(str(value)).normalize()


def _ids(value: Any) -> tuple[str, ...]:
    ids = str(value).split(",")
    if len(ids) > MOST_IDS:
        raise ValueError(f"At most {MOST_IDS} ids may be asked for at once")
    if not all(_UUID.fullmatch(one) for one in ids):
        raise ValueError("Expected UUIDs separated by commas")
    return tuple(dict.fromkeys(one.lower() for one in ids))


def _id(value: Any) -> str:
    if not _UUID.fullmatch(str(value)):
        raise ValueError("Expected a UUID")
    return str(value).lower()


def _user_id(value: Any) -> str:
    if not USER_ID.pattern.fullmatch(str(value)):
        raise ValueError(f"Expected {USER_ID.expected}")
    return str(value)


def _day(value: Any) -> date:
    if not _DATE.fullmatch(str(value)):
        raise ValueError("Expected a date such as 2026-11-21")
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("There is no such day in the calendar") from None


def _schema(**schema: Any) -> WithJsonSchema:
    return WithJsonSchema(schema)


Text = Annotated[str, AfterValidator(_text)]
Ticks = Annotated[
    int, BeforeValidator(_amount), _schema(type="string", pattern=r"^[0-9]{1,11}(\.[0-9]{1,4})?$", examples=["349.99"])
]
"""An amount of money, in 1/10000."""
Flag = Annotated[bool, BeforeValidator(_flag), _schema(type="boolean")]
Pieces = Annotated[int, BeforeValidator(_whole), _schema(type="integer", minimum=0, maximum=10**13 - 1)]
Stars = Annotated[Decimal, BeforeValidator(_stars), _schema(type="number", minimum=0, maximum=5)]
UserId = Annotated[str, BeforeValidator(_user_id), _schema(**USER_ID.schema)]
Id = Annotated[str, BeforeValidator(_id), _schema(type="string", format="uuid")]
Day = Annotated[date, BeforeValidator(_day), _schema(type="string", format="date", examples=["2026-11-21"])]
Limit = Annotated[
    int,
    BeforeValidator(_limit),
    _schema(type="integer", minimum=1, maximum=100, default=20),
    Field(description="How many items a page has at most."),
]
FewerLimit = Annotated[
    int,
    BeforeValidator(_limit),
    _schema(type="integer", minimum=1, maximum=100, default=10),
    Field(description="How many items there are at most."),
]
Cursor = Annotated[str, Field(description="`next_cursor` of the page before, with the same filters and sort.")]
Ids = Annotated[
    tuple[str, ...],
    BeforeValidator(_ids),
    _schema(type="string", description="Up to 100 product ids separated by commas."),
]
