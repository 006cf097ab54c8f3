"""Programs that measure or are measured: each runs in a process of its own, is asked one thing, and answers it.

The request comes as JSON on standard input, the answer is the last line of standard output.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
"""Where `benchmarks` is imported from."""


class ProgramFailed(Exception):
    """The text holds the end of what it said."""


def answer(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Serves the one request of this process."""
    result = work(json.load(sys.stdin))
    sys.stdout.write(f"\n{json.dumps(result)}\n")


def environment(**settings: str) -> dict[str, str]:
    """This process's environment, without settings of Stockroom's, and so that `benchmarks` is found."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STOCKROOM_")}
    return {**inherited, "PYTHONPATH": str(TESTS), "PYTHONUNBUFFERED": "1", **settings}


def ask(
    module: str, request: Mapping[str, Any], *, python: str = sys.executable, settings: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The answer of ``python -m benchmarks.<module>``.

    Raises:
        ProgramFailed: it ended with another exit code than 0.
    """
    child = subprocess.Popen(
        [python, "-m", f"benchmarks.{module}"],
        env=environment(**(settings or {})),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us alone; we end it below
    )
    try:
        said, complained = child.communicate(json.dumps(request))
    finally:
        child.kill()
        child.wait()
    if child.returncode:
        raise ProgramFailed(f"{module} ended with {child.returncode}:\n{complained[-4000:]}")
    result: dict[str, Any] = json.loads(said.splitlines()[-1])
    return result
