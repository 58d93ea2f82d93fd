"""The recipe of the small base model: python -m tools.base OUT."""
