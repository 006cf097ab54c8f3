"""Request bodies: read within a limit, parsed as strict JSON, validated, and each fault named by its place.

Parsing is fast for good input and thorough for bad: only what the strict parser refuses is looked at again, to say what
exactly is wrong with it and where. Numbers with a fraction become `Decimal`; nothing goes through a float.
"""

import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar
from urllib.parse import quote

import jiter
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from chassis.problems import INVALID, NOT_JSON, Problem, body_error, parameter_error

M = TypeVar("M", bound=BaseModel)

MAX_ERRORS = 20
"""So many faults are listed; a body can be made to have any number."""

_MAX_DIGITS: Final = 4300
"""Python's own limit for reading an integer, which the strict parser keeps for every number."""

_UNQUOTED: Final = "~!$&'()*+,;=:@?"
"""What RFC 3986 lets stand in a fragment, beside letters, digits and ``-._``."""


def parse_json(raw: bytes) -> Any:
    """The JSON document in `raw`.

    Raises:
        Problem: not JSON (400), or JSON with text that is no text: lone surrogates (422).
    """
    try:
        return jiter.from_json(raw, float_mode="decimal", catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as refusal:
        raise _diagnose(raw, str(refusal)) from None


def validate(model: type[M], document: Any) -> M:
    """`document` as a `model`.

    Raises:
        Problem: 422 with a JSON pointer for each fault.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid(body_faults(error)) from None


def body_faults(error: ValidationError, prefix: str = "#") -> list[dict[str, str]]:
    """Pydantic's findings as entries of ``errors``."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [fault for fault in faults if not _follows_from_others(fault, faults)]
    return [body_error(pointer(e["loc"], prefix), _say(e)) for e in faults[:MAX_ERRORS]]


def _follows_from_others(fault: ErrorDetails, faults: list[ErrorDetails]) -> bool:
    """An array "is too short" for the validator when members of it are invalid; those are what is to be told."""
    place = fault["loc"]
    return fault["type"] == "too_short" and any(len(e["loc"]) > len(place) == _common(e["loc"], place) for e in faults)


def _common(one: tuple[int | str, ...], other: tuple[int | str, ...]) -> int:
    return sum(1 for a, b in zip(one, other, strict=False) if a == b)


def validate_parameters(model: type[M], pairs: list[tuple[str, str]]) -> M:
    """Query parameters as a `model`; each may be given once, and only those that the model names.

    Raises:
        Problem: 422 with the name of each parameter at fault.
    """
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise invalid([parameter_error(name, "Give this parameter only once.")])
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        listed = [parameter_error(str(e["loc"][0]) if e["loc"] else "query", _say(e)) for e in faults[:MAX_ERRORS]]
        raise invalid(listed) from None


def invalid(errors: list[dict[str, str]]) -> Problem:
    """A 422 that lists `errors` and says the first in its detail."""
    first = errors[0]
    where = first.get("pointer") or first.get("parameter")
    return Problem(INVALID, f"{where}: {first['detail']}", members={"errors": errors})


def pointer(location: tuple[int | str, ...], prefix: str = "#") -> str:
    """A JSON pointer as a URI fragment (RFC 6901): ``("lines", 0, "quantity")`` → ``#/lines/0/quantity``."""
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return prefix + "".join(f"/{quote(part, safe=_UNQUOTED, errors='replace')}" for part in escaped)


def _say(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "extra_forbidden":
        return "This field is not known here; remove it."
    if fault["type"] in ("tuple_type", "list_type"):
        return "Expected an array."
    if fault["type"] in ("dict_type", "model_type"):
        return "Expected an object."
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message if message.endswith(".") else f"{message}."


def _diagnose(raw: bytes, refusal: str) -> Problem:
    """Why the strict parser refused: the place as far as one can be named."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return _not_json(f"The body is not UTF-8: byte {error.start} can't be decoded.", "#")
    if text.startswith("\ufeff"):
        return _not_json("The body begins with a byte order mark; leave it out.", "#")
    if refusal.startswith("recursion limit"):
        return _not_json("The body is nested too deeply.", "#")
    try:
        return _look_again(text, refusal)
    except RecursionError:
        return _not_json("The body is nested too deeply.", "#")


def _look_again(text: str, refusal: str) -> Problem:
    """The fault by a lenient parser, which reads more than JSON and marks what it should not have read."""
    repeated: list[tuple[dict[str, Any], str]] = []
    try:
        document = json.loads(
            text,
            object_pairs_hook=lambda pairs: _pairs(pairs, repeated),
            parse_constant=_Constant,
            parse_int=_number,
            parse_float=_number,
        )
    except ValueError:
        return _not_json(f"The body is not JSON: {refusal}.", "#")
    place = _find(document, lambda value: isinstance(value, _Constant))
    if place is not None:
        return _not_json("NaN and Infinity are not JSON numbers.", place)
    if repeated:
        owner, name = repeated[0]
        place = _find(document, lambda value: value is owner) or "#"
        return _not_json(f"The field {name!r} is given more than once.", place + pointer((name,), ""))
    place = _find(document, lambda value: isinstance(value, str) and not _is_text(value))
    if place is not None:
        return invalid([body_error(place, "The text has a lone surrogate, which stands for no character.")])
    place = _find(document, lambda value: isinstance(value, _EndlessNumber))
    if place is not None:
        return invalid([body_error(place, "The number has more digits, or a greater exponent, than can be read.")])
    return _not_json(f"The body is not JSON that can be read here: {refusal}.", "#")


def _not_json(detail: str, place: str) -> Problem:
    return Problem(NOT_JSON, detail, members={"errors": [body_error(place, detail)]})


class _Constant(str):
    """NaN, Infinity or -Infinity, which the lenient parser reads."""


class _EndlessNumber:
    """A number beyond what `int` and `Decimal` read."""


def _number(digits: str) -> object:
    try:
        return Decimal(digits) if len(digits) <= _MAX_DIGITS else _EndlessNumber()
    except ArithmeticError:
        return _EndlessNumber()


def _pairs(pairs: list[tuple[str, Any]], repeated: list[tuple[dict[str, Any], str]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        name = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        repeated.append((document, name))
    return document


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _find(value: Any, fits: Any, place: str = "#") -> str | None:
    if fits(value):
        return place
    members: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    for key, member in members:
        if fits(key):
            return place
        found = _find(member, fits, place + pointer((key,), ""))
        if found is not None:
            return found
    return None
