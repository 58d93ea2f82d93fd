"""The toy world: scripts, clips, annotations in SEED-Bench-R1's layout, the exact judge, a small base model."""

from pathlib import Path

BASE = Path(__file__).parent / "base_model"  # what python -m tools.base made
