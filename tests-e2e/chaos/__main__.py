"""``python -m chaos --seconds 300 --seed 7``: exit code 0 if nothing was found."""

import argparse
import logging
import sys
from random import SystemRandom

from chaos.run import Run
from stockroom_local.interruption import Interrupted, raised_on_signals
from stockroom_local.servers.install import obtain
from stockroom_local.servers.trio import REQUIREMENTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description="Breaks the whole system again and again, under load.")
    parser.add_argument("--seconds", type=float, default=300, help="how long faults come; each comes once at least")
    parser.add_argument("--seed", default="", help="which faults come when, and what the clients do; random when empty")
    parser.add_argument("--only", default="", help="only faults whose names contain this")
    arguments = parser.parse_args()
    seed = int(arguments.seed) if arguments.seed else SystemRandom().randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # it tells of each connection that was meant to break
    with raised_on_signals():
        try:
            means = obtain(REQUIREMENTS, tell, throwaway=True)
            return 0 if Run(means, arguments.seconds, seed, tell, arguments.only).run() else 1
        except Interrupted:
            return 130


def tell(line: str) -> None:
    print(line, flush=True)


sys.exit(main())
