"""`python -m stockroom_local`."""

from stockroom_local.cli import app

app()
