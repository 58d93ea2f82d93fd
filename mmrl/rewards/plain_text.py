"""Remove decoration from a text; every character keeps its index in the original."""

import re
from dataclasses import dataclass

READ = 4000  # characters at the end of a text that are searched
WIDE = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in (*range(0xFF21, 0xFF3B), *range(0xFF10, 0xFF1A))}
    | dict(zip("（）［］｛｝【】〔〕：，；、＝％．", "()[]{}[]():,;,=%.", strict=True))
)
DECORATION = re.compile(  # runs of spaces, and decoration: \\text{, **, <b>, quotation marks
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
    """A text with the index of each of its characters in the original."""

    text: str
    at: tuple[int, ...]

    def part(self, start: int, end: int) -> "PlainText":
        """Return the characters [start, end)."""
        return PlainText(self.text[start:end], self.at[start:end])

    def end(self, count: int) -> "PlainText":
        """Return the last ``count`` characters."""
        return self.part(max(0, len(self.text) - count), len(self.text))

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the span in the original from the first to the last of the characters [start, end)."""
        return (self.at[start], self.at[end - 1] + 1)


def plain_text(text: str, start: int, end: int) -> PlainText:
    """Return the last READ characters of text[start:end] as plain text.

    Emphasis, quotation marks, LaTeX and HTML styles are removed. Full-width letters, digits and brackets become ASCII. Runs of
    spaces become one space or one line break, and disappear at the ends.
    """
    start = max(start, end - READ)
    chars = list(text[start:end].translate(WIDE))
    for match in DECORATION.finditer(text, start, end):
        space = ("\n" if "\n" in match[0] else " ") if match["space"] else ""
        chars[match.start() - start : match.end() - start] = [space, *[""] * (len(match[0]) - 1)]
    return single_spaced([(char, at) for at, char in enumerate(chars, start) if char])


def single_spaced(chars: list[tuple[str, int]]) -> PlainText:
    """Remove spaces that follow another space or are at an end; of a space and a line break, the line break stays."""
    kept: list[tuple[str, int]] = []
    for char, at in chars:
        if char not in " \n" or (kept and kept[-1][0] not in " \n"):
            kept.append((char, at))
        elif char == "\n" and kept:
            kept[-1] = (char, at)
    while kept and kept[-1][0] in " \n":
        kept.pop()
    return PlainText("".join(char for char, _ in kept), tuple(at for _, at in kept))
