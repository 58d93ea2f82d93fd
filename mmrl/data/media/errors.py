"""Errors of media files: where, expected, found, what to do."""

from pathlib import Path

ADVICE = "replace the file, or list its example under exclude of its set in data.sets"


class MediaError(RuntimeError):
    """A media file cannot be shown to the model. The error can be pickled, to pass between processes."""

    def __init__(self, file: Path | str, found: str, expected: str, advice: str = ADVICE, example: str = "") -> None:
        super().__init__(file, found, expected, advice, example)  # all of them, so that the error can be pickled
        self.found, self.expected, self.advice = found, expected, advice

    def of(self, example: str) -> "MediaError":
        """Return the error with the id of the example that needed the file."""
        return MediaError(*self.args[:4], example)

    def __str__(self) -> str:
        file, found, expected, advice, example = self.args
        whose = f" (example {example})" if example else ""
        return f"{file}{whose}: expected {expected}, found {found}; {advice}"


def no_such_file(path: Path, found: str = "no such file") -> MediaError:
    """Return the error for a path without a file."""
    return MediaError(path, found, "a file", "check data.root and the annotations")
