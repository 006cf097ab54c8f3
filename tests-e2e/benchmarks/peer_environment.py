"""The peers' own Python environment, as `peers/requirements.txt` pins it: none of them is a dependency of the
product.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "peers" / "requirements.txt"


class NoPeers(Exception):
    """The environment can't be made; the text says why."""


def make(home: Path, tell: Callable[[str], None]) -> Path:
    """Its interpreter. It is made anew only when the requirements or the interpreter have changed."""
    folder = home / "peers"
    python = folder / "bin" / "python"
    stamp = folder / "made-from"
    wanted = hashlib.blake2b(REQUIREMENTS.read_bytes() + sys.version.encode(), digest_size=16).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    tell("making the peers' environment")
    shutil.rmtree(folder, ignore_errors=True)
    uv = _uv()
    _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
    _run(uv, "pip", "install", "--quiet", "--python", str(python), "--requirements", str(REQUIREMENTS))
    stamp.write_text(wanted)
    return python


def _uv() -> str:
    own = ROOT / ".local" / "uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(own) if own.exists() else None)
    if found is None:
        raise NoPeers("uv is missing; `make env` brings it")
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, env={**os.environ, **_as_pip()}, capture_output=True, text=True)
    if done.returncode:
        raise NoPeers(f"{' '.join(command[:3])} failed:\n{done.stderr[-2000:]}")


def _as_pip() -> dict[str, str]:
    """uv reads no pip configuration: hand on its certificate and its package index, as `make env` does."""
    followed = {}
    for setting, variable, ours in (
        ("global.cert", "PIP_CERT", "SSL_CERT_FILE"),
        ("global.index-url", "PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    ):
        value = os.environ.get(variable) or _configured(setting)
        if value and ours not in os.environ:
            followed[ours] = value
    return followed


def _configured(setting: str) -> str:
    python = shutil.which("python3") or sys.executable
    asked = subprocess.run([python, "-m", "pip", "config", "get", setting], capture_output=True, text=True)
    return asked.stdout.strip()
