"""What deploy/docker/Dockerfile makes: the images, what each runs, and as whom."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DOCKERFILE: Final = Path(__file__).parents[1] / "docker" / "Dockerfile"


@dataclass(frozen=True)
class Image:
    """A target of the Dockerfile; `files` that it copies from the repository, by where they are then."""

    entrypoint: tuple[str, ...]
    default_arguments: tuple[str, ...]
    ports: frozenset[int]
    files: Mapping[str, str]
    user: str
    health_check: str


def images() -> dict[str, Image]:
    """Every target that has an entry point, by its name."""
    found: dict[str, Image] = {}
    stages: dict[str, dict[str, str]] = {}
    for text in re.split(r"^(?=FROM )", DOCKERFILE.read_text().replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        base, name = re.match(r"FROM (\S+) AS (\S+)", text).groups()  # type: ignore[union-attr]
        lines = dict(re.findall(r"^(USER|ENTRYPOINT|CMD|EXPOSE|HEALTHCHECK) (.+)$", text, flags=re.MULTILINE))
        stages[name] = stages.get(base, {}) | lines
        if "ENTRYPOINT" in lines:
            found[name] = _image(stages[name], text)
    return found


def _image(lines: Mapping[str, str], text: str) -> Image:
    copies = re.findall(r"^COPY ([^-\s]\S*) (/\S+)$", text, flags=re.MULTILINE)
    return Image(
        tuple(json.loads(lines["ENTRYPOINT"])),
        tuple(json.loads(lines.get("CMD", "[]"))),
        frozenset(map(int, lines["EXPOSE"].split())),
        {target + Path(source).name if target.endswith("/") else target: source for source, target in copies},
        lines["USER"],
        lines["HEALTHCHECK"],
    )
