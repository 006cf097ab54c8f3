"""What a server needs to run here, and the means by which it will."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Programs = Mapping[str, Path]
"""A server's programs by name."""


@dataclass(frozen=True)
class Requirement:
    """A server's programs: where they may be and what brings them.

    `programs` must all be found in one folder; `places` are folders (patterns; of several matches the highest version)
    that are searched after the PATH, or before it if `places_first`.
    """

    title: str
    programs: Sequence[str]
    places: Sequence[str]
    package: str
    image: str
    setting: str
    places_first: bool = False

    def find(self, path: str | None = None, places: Sequence[str] | None = None) -> Programs | None:
        """The programs as they are on this machine; None if one of them is missing."""
        usual = _folders(self.places if places is None else places)
        on_path = [Path(folder) for folder in (path if path is not None else _search_path()).split(":") if folder]
        for folder in [*usual, *on_path] if self.places_first else [*on_path, *usual]:
            found = {name: shutil.which(name, path=str(folder)) for name in self.programs}
            if all(found.values()):
                return {name: Path(program) for name, program in found.items() if program}
        return None


@dataclass(frozen=True)
class Native:
    """Run it from these programs."""

    programs: Programs


@dataclass(frozen=True)
class Container:
    """Run it with the Docker engine that answers here; `throwaway` ones (of tests) leave no volume."""

    throwaway: bool = False


Means = Native | Container


def _search_path() -> str:
    return os.environ.get("PATH", os.defpath)


def _folders(patterns: Iterable[str]) -> list[Path]:
    """The existing folders that match, higher versions first."""
    found: list[Path] = []
    for pattern in patterns:
        matches = Path("/").glob(pattern.removeprefix("/"))
        found.extend(sorted(matches, key=_version, reverse=True))
    return [folder for folder in found if folder.is_dir()]


def _version(folder: Path) -> list[int]:
    return [int(part) for part in "".join(c if c.isdigit() else " " for c in str(folder)).split()]
