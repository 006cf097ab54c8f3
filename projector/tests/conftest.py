"""Makes the tests find what they import.

pytest's importlib mode names this file ``projector.tests.conftest``, after its folder, and takes that folder for the
package `projector` if nobody has imported the real one yet. It also lets tests not import their neighbours.
"""

import importlib
import sys
from pathlib import Path

if getattr(sys.modules.get("projector"), "__file__", None) is None:
    sys.modules.pop("projector", None)
    importlib.import_module("projector")

sys.path.insert(0, str(Path(__file__).parent / "support"))
