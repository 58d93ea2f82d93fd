"""The card of the base model that comes with mmrl."""
