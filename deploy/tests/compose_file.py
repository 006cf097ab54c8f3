"""docker-compose.yml as compose reads it when nothing is set."""

import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from real_services import Deployed

COMPOSE: Final = Path(__file__).parents[2] / "docker-compose.yml"


@cache
def services() -> dict[str, dict[str, Any]]:
    """Every service of the file, with the defaults of its variables."""
    text = re.sub(r"(?<!\$)\$\{(\w+)(?::-([^}]*))?\}", lambda found: found[2] or "", COMPOSE.read_text())
    found: dict[str, dict[str, Any]] = yaml.load(text.replace("$$", "$"), Loader=yaml.CSafeLoader)["services"]
    return found


def ours() -> dict[str, Deployed]:
    """Our processes and jobs."""
    return {
        name: as_deployed(name, service)
        for name, service in services().items()
        if service["image"].startswith("stockroom/") and name != "proxy"
    }


def as_deployed(name: str, service: dict[str, Any]) -> Deployed:
    """A setting that ends in _FILE names the file that holds the value; the image's entry script reads it."""
    environment = {key: str(value) for key, value in service.get("environment", {}).items() if value is not None}
    files = {key: path for key, path in environment.items() if key.endswith("_FILE")}
    volumes = [volume.split(":")[1] for volume in service.get("volumes", ())]
    secret = {key.removesuffix("_FILE") for key, path in files.items() if str(Path(path).parent) in volumes}
    plain = {key: value for key, value in environment.items() if value and key not in files}
    return Deployed(name, service["image"], tuple(service.get("command", ())), plain, frozenset(secret))


def jobs() -> set[str]:
    """Those that run to their end."""
    return {name for name in ours() if services()[name]["restart"].startswith("on-failure")}
