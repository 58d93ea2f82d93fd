"""Shapes and types are checked in tests, in the rooms whose signatures state them for one tensor at a time."""

from jaxtyping import install_import_hook

from tests import strict

CHECKED = ["types", "ops", "algorithms", "models.heads", "models.families", "models.spans", "rollout.noise", "rewards.grade"]

install_import_hook([f"mmrl.{room}" for room in CHECKED], f"{strict.__name__}.check")
