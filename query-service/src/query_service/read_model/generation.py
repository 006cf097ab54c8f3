"""Which generation is read: remembered from the last answer, and confirmed by every one."""

from typing import Final

from contracts.keys import Generation
from query_service.problems import behind
from query_service.read_model.image import Image

SWITCHES: Final = 5
"""How often one read is repeated because the pointer moved under it."""


class LiveGeneration:
    """The generation that queries read, as far as is known.

    Every read asks for this generation's keys *and* for pointer and marker in one round trip, and is repeated when
    the pointer names another one. So no answer is ever put together from two generations, nor from half of one.
    """

    def __init__(self, image: Image) -> None:
        self.known = Generation(1)
        self._image = image

    def confirmed(self, asked: Generation, live: bytes | None, complete: bytes | None, sent: float) -> bool:
        """Whether what was read of `asked`, with this pointer and its marker, may be used; False: read again.

        It is not compared with what is known by now: another read may have learnt of a switch meanwhile. The image
        gets to know what was found; `sent` is when the read was, by its clock.

        Raises:
            Problem: 503, nothing can be answered from: no generation is live, or the one that is live is not whole.
        """
        if live is None or not live.isdigit():
            self._image.clear("no read model")
            raise behind("There is no read model yet.")
        if int(live) != asked.number:
            self.known = Generation(int(live))
            self._image.clear("another generation")
            return False
        if complete is None:
            self._image.clear("not whole")
            raise behind("The read model is being repaired from the log.")
        if asked == self.known:
            self._image.confirmed(sent)
        return True
