"""Money as the contract writes it: a decimal string such as ``"349.99"``.

An amount has at most 4 decimals and lies in 0 ≤ x < 10^11. It is never a float. One unit of the integer form is
1/10000 of the currency (a "tick"), so that amounts add up exactly and sort by their digits.
"""

from decimal import Decimal

MAX_DECIMALS = 4
LIMIT = Decimal(10) ** 11
TICKS = 10_000


def format_money(amount: Decimal) -> str:
    """The one way an amount is written: at least 2 decimals, no further trailing zeros: ``"5.00"``, ``"0.125"``."""
    whole, _, fraction = f"{amount:.4f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def to_ticks(amount: str) -> int:
    """An amount in 1/10000, exact: ``"349.99"`` → ``3499900``."""
    whole, _, fraction = amount.partition(".")
    return int(whole) * TICKS + int(fraction.ljust(MAX_DECIMALS, "0") or 0)


def from_ticks(ticks: int) -> str:
    """The inverse of `to_ticks`."""
    return format_money(Decimal(ticks) / TICKS)


def minor_unit(currency: str) -> int:
    """How many decimals amounts of a currency are settled in (ISO 4217)."""
    return _DECIMALS.get(currency, 2)


_DECIMALS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def round_half_up(ticks: int, decimals: int) -> int:
    """Ticks rounded half up to so many decimals; still in ticks."""
    step: int = 10 ** (MAX_DECIMALS - decimals)
    return (ticks + step // 2) // step * step
