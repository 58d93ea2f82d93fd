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
    chars = list(text[start:end].translate(WIDE))
    for match in DECORATION.finditer(text, start, end):
        space = ("\n" if "\n" in match[0] else " ") if match["space"] else ""
        chars[match.start() - start : match.end() - start] = [space, *[""] * (len(match[0]) - 1)]
    return single_spaced([(char, at) for at, char in enumerate(chars, start) if char])


def single_spaced(chars: list[tuple[str, int]]) -> PlainText:
    """Spaces that came to stand beside each other, or at an end, taken away; a line break outlives a space."""
    kept: list[tuple[str, int]] = []
    for char, at in chars:
        if char not in " \n" or (kept and kept[-1][0] not in " \n"):
            kept.append((char, at))
        elif char == "\n" and kept:
            kept[-1] = (char, at)
    while kept and kept[-1][0] in " \n":
        kept.pop()
    return PlainText("".join(char for char, _ in kept), tuple(at for _, at in kept))
