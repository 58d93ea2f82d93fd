"""A reward that tells completions of random models apart."""


def letters(completion: str, **_) -> float:
    """The share of small letters."""
    return sum(letter.islower() for letter in completion) / (1 + len(completion))
