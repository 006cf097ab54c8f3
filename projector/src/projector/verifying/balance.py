"""Whether what there is is what there should be, name by name, in a memory that does not grow with the names."""

from array import array
from collections.abc import Hashable, Iterable
from typing import Final

BUCKETS: Final = 2**20
"""8 MiB. Beside live traffic, what has changed meanwhile makes its bucket uneven: all in it costs a closer look."""

_BITS: Final = 2**64 - 1


class Balance:
    """Hashes of names, added where a name should be there and taken away where it is, in so many buckets.

    A bucket that is even has the same names on both sides: that others have the same sum by chance is as likely as
    guessing a number of more than 40 bits (Python's hashes of text are keyed, anew in each process). So only names in
    other buckets need a closer look. A name that is expected or found twice costs one too, and hides nothing.

    A name is a text that is not empty, or a tuple of such.
    """

    def __init__(self, buckets: int = BUCKETS) -> None:
        self._buckets = buckets
        self._sums = array("Q", bytes(8 * buckets))

    def expect(self, names: Iterable[Hashable]) -> None:
        sums, buckets = self._sums, self._buckets
        for name in names:
            value = hash(name)
            place = value % buckets
            sums[place] = sums[place] + value & _BITS

    def find(self, names: Iterable[Hashable]) -> None:
        sums, buckets = self._sums, self._buckets
        for name in names:
            value = hash(name)
            place = value % buckets
            sums[place] = sums[place] - value & _BITS

    @property
    def is_even(self) -> bool:
        return not self._sums.tobytes().strip(b"\x00")

    def is_even_for(self, name: Hashable) -> bool:
        return not self._sums[hash(name) % self._buckets]
