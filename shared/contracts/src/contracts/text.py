"""How names, SKUs and queries are folded and cut into words: one rule for the writer and the reader of indexes."""

import re
import unicodedata

_ASCII_WORDS = re.compile(r"[a-z0-9]+")


def fold(text: str) -> str:
    """Case and accents removed (NFKD, marks dropped, casefold): ``"Côte de Blaye"`` → ``"cote de blaye"``."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(c for c in decomposed if not unicodedata.category(c).startswith("M"))
    return bare.casefold()


def words(text: str) -> list[str]:
    """The distinct words of a text in order of appearance: runs of letters and digits of its folded form."""
    folded = fold(text)
    if folded.isascii():
        return list(dict.fromkeys(_ASCII_WORDS.findall(folded)))
    spaced = "".join(c if c.isalnum() else " " for c in folded)
    return list(dict.fromkeys(spaced.split()))
