"""Where the tests find the clone and what is in it."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
INSTANCES = ROOT / "instances"
DATA = ROOT / "tests" / "data"
