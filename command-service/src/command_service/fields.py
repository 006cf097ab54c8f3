"""The types of commands' fields: what a shop may say, and how it is written down."""

import re
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from contracts.money import LIMIT, MAX_DECIMALS, format_money

_AMOUNT: Final = re.compile(r"[0-9]{1,11}(\.[0-9]{1,4})?")
_SMALLEST: Final = Decimal(1).scaleb(-MAX_DECIMALS)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LAYOUT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

MAX_PIECES: Final = 1_000_000_000


def _money(value: Any) -> str:
    """An amount as sent, a decimal string or a JSON number, in its one normal form."""
    if isinstance(value, str):
        if not _AMOUNT.fullmatch(value):
            raise ValueError(
                'Expected a decimal string such as "349.99", at least 0, with up to 11 digits and 4 decimals'
            )
        amount = Decimal(value)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        amount = Decimal(value)
        if not amount.is_finite() or not 0 <= amount < LIMIT:
            raise ValueError("Expected an amount of at least 0 and less than 10^11")
        if amount.quantize(_SMALLEST) != amount:
            raise ValueError("Expected an amount with up to 4 decimals")
    else:
        raise ValueError('Expected a decimal string such as "349.99", or a number')
    return format_money(abs(amount))


def _no_control_characters(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("Control characters such as NUL or line feeds are not allowed here")
    return value


def _no_control_but_layout(value: str) -> str:
    if _CONTROL_BUT_LAYOUT.search(value):
        raise ValueError("Control characters other than tabs and line feeds are not allowed here")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("Expected more than white space")
    return value


Money = Annotated[
    str,
    BeforeValidator(_money),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]{1,11}(\.[0-9]{1,4})?$"},
                {"type": "number", "minimum": 0, "exclusiveMaximum": 100_000_000_000, "multipleOf": 0.0001},
            ],
            "description": "A decimal string (preferred) or a number, with up to 4 decimals.",
            "examples": ["349.99"],
        }
    ),
]

_TEXT_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"


def _text(minimum: int, maximum: int, description: str) -> Any:
    return WithJsonSchema(
        {
            "type": "string",
            "minLength": minimum,
            "maxLength": maximum,
            "pattern": _TEXT_PATTERN,
            "description": description,
        }
    )


Name = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=200),
    AfterValidator(_no_control_characters),
    AfterValidator(_not_blank),
    _text(1, 200, "1–200 characters, no control characters, not only white space."),
]

Category = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=100),
    AfterValidator(_no_control_characters),
    AfterValidator(_not_blank),
    _text(1, 100, "1–100 characters, compared exactly."),
]

Description = Annotated[
    str,
    StringConstraints(strict=True, max_length=4000),
    AfterValidator(_no_control_but_layout),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 4000,
            "pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$",
            "description": "Up to 4,000 characters; of the control characters only tabs and line feeds.",
        }
    ),
]

Reason = Annotated[
    str,
    StringConstraints(strict=True, max_length=500),
    AfterValidator(_no_control_but_layout),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 500,
            "pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$",
            "description": "Why, for the audit: up to 500 characters.",
        }
    ),
]

StatedReason = Annotated[Reason, StringConstraints(min_length=1), Field(json_schema_extra={"minLength": 1})]
"""A reason that has to be given."""

Reference = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=200),
    AfterValidator(_no_control_characters),
    AfterValidator(_not_blank),
    _text(1, 200, "1–200 characters, no control characters: how the payment is called elsewhere."),
]

SKU_PATTERN: Final = r"^[ -.0-~]{1,64}$"
Sku = Annotated[
    str,
    StringConstraints(strict=True, pattern=SKU_PATTERN),
    Field(description="1–64 printable ASCII characters without /; unique in the shop and compared exactly."),
]

USER_ID_PATTERN: Final = r"^[!-.0-~]{1,64}$"
UserId = Annotated[
    str,
    StringConstraints(strict=True, pattern=USER_ID_PATTERN),
    Field(description="1–64 visible ASCII characters without /."),
]


def _uuid(value: Any) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ValueError("Expected a UUID such as 0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e")
    return value.lower()


Uuid = Annotated[str, BeforeValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]


def _whole(value: Any) -> Any:
    """``5.0`` and ``1e2`` are integers as JSON Schema has them; any other number is left to be refused."""
    if isinstance(value, Decimal) and abs(value) < _BEYOND and value == value.to_integral_value():
        return int(value)
    return value


_BEYOND: Final = Decimal(10) ** 18

# The validator stands last, so that the range stays in the documentation.
Stars = Annotated[int, Field(strict=True, ge=1, le=5, description="1 to 5."), BeforeValidator(_whole)]
Pieces = Annotated[
    int, Field(strict=True, ge=1, le=MAX_PIECES, description="How many pieces."), BeforeValidator(_whole)
]
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_PIECES, description="How many pieces."), BeforeValidator(_whole)]
Generation = Annotated[
    int,
    Field(strict=True, ge=0, le=900_000_000, description="A generation's number, or 0."),
    BeforeValidator(_whole),
]
