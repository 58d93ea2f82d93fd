"""This project's own measurements: ``python -m benchmark ...`` from the repository's root. Not in the wheel."""
