"""A text without what only decorates it, every character of which still knows where it stood."""

import re
from dataclasses import dataclass

READ = 4000  # characters of a text's end that are looked at
WIDE = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in (*range(0xFF21, 0xFF3B), *range(0xFF10, 0xFF1A))}
    | dict(zip("（）［］｛｝【】〔〕：，；、＝％．", "()[]{}[]():,;,=%.", strict=True))
)
DECORATION = re.compile(  # runs of spaces, and what only decorates: \\text{, **, <b>, quotation marks
    r"""(?x)
      (?P<space> \s+ )
    | \\ (?: (?: text | mathrm | mathbf | mathit | mathsf ) (?: bf | it | rm )? (?![a-z]) | [()\[\],;!] ) [ ]?    # LaTeX
    | </? (?: b | strong | i | em | u | p | br | code | span | mark ) [ ]?/?>                                    # HTML
    | (?<!\d) \* | \* (?!\d)                                                       # emphasis; 2*3 is a product
    | [_`$\"“”„「」『』\u200b\ufeff]
    """
)


@dataclass(frozen=True, slots=True)
class PlainText:
    """Text and, for every character of it, its place in the original."""

    text: str
    at: tuple[int, ...]

    def part(self, start: int, end: int) -> "PlainText":
        """Return the characters [start, end)."""
        return PlainText(self.text[start:end], self.at[start:end])

    def end(self, count: int) -> "PlainText":
        """Return the last ``count`` characters."""
        return self.part(max(0, len(self.text) - count), len(self.text))

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where the characters [start, end) stand in the original, from the first to the last."""
        return (self.at[start], self.at[end - 1] + 1)


def plain_text(text: str, start: int, end: int) -> PlainText:
    """Return the last READ characters of text[start:end]: emphasis, quotation marks, LaTeX and HTML styles dropped, full-width
    letters, digits and brackets made plain, runs of spaces made one space, or one line break, none at the ends."""
    start = max(start, end - READ)
    kept: list[str] = []
    at: list[int] = []
    place = start
    for match in DECORATION.finditer(text, start, end):
        kept.append(text[place : match.start()].translate(WIDE))
        at.extend(range(place, match.start()))
        if match["space"]:
            kept.append("\n" if "\n" in match[0] else " ")
            at.append(match.start())
        place = match.end()
    kept.append(text[place:end].translate(WIDE))
    at.extend(range(place, end))
    return single_spaced("".join(kept), at)


def single_spaced(text: str, at: list[int]) -> PlainText:
    """Spaces that came to stand beside each other, or at an end, taken away; a line break outlives a space."""
    keep: list[int] = []
    for place, char in enumerate(text):
        if char not in " \n" or (keep and text[keep[-1]] not in " \n"):
            keep.append(place)
        elif char == "\n" and keep:
            keep[-1] = place
    while keep and text[keep[-1]] in " \n":
        keep.pop()
    return PlainText("".join(text[i] for i in keep), tuple(at[i] for i in keep))
