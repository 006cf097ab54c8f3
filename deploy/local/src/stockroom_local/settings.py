"""What the environment says about a local run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stockroom_local.errors import InvalidSetting
from stockroom_local.servers.ports import is_free
from stockroom_local.servers.trio import REQUIREMENTS
from stockroom_local.services import Service, chosen_ports

REPOSITORY = Path(__file__).resolve().parents[4]
SAMPLES = {"northwind": REPOSITORY / "deploy" / "sample-data" / "northwind.csv", "none": None}


@dataclass(frozen=True)
class Settings:
    """A run's settings, all of them checked."""

    home: Path
    sample: Path | None
    ports: Mapping[Service, int]
    given_urls: Mapping[str, str]
    """Servers that are there already, by setting: nothing is started in their place."""

    @staticmethod
    def read(environment: Mapping[str, str]) -> "Settings":
        """From the environment; InvalidSetting names what can't be used."""
        sample = environment.get("STOCKROOM_SAMPLE") or "northwind"
        if sample not in SAMPLES:
            raise InvalidSetting(f"STOCKROOM_SAMPLE must be one of {', '.join(SAMPLES)}, not {sample!r}.")
        return Settings(
            home=home_folder(environment),
            sample=SAMPLES[sample],
            ports=chosen_ports(environment),
            given_urls={each.setting: url for each in REQUIREMENTS if (url := environment.get(each.setting))},
        )

    def require_free_ports(self) -> None:
        """InvalidSetting, naming the variable that helps, if somebody else listens on a service's port."""
        taken = [(service, port) for service, port in self.ports.items() if not is_free(port)]
        if taken:
            lines = [f"Port {port} is taken; set {service.setting} to another one." for service, port in taken]
            raise InvalidSetting("\n".join(lines))


def home_folder(environment: Mapping[str, str]) -> Path:
    """STOCKROOM_HOME, or `.local` in the repository."""
    home = environment.get("STOCKROOM_HOME")
    return Path(home).expanduser().absolute() if home else REPOSITORY / ".local"
