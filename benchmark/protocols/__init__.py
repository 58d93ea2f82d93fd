"""Published evaluation protocols, followed to the letter."""
