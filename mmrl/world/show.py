"""Items as pictures for people: a strip of one item's events with all that is asked, and a sheet of many items."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmrl.data.media.decoders import read_frames, read_index
from mmrl.data.media.video import read_image
from mmrl.world.annotate import SOURCE, choices
from mmrl.world.grammar import ALL_CLOSE, TIMES
from mmrl.world.octet import LETTERS
from mmrl.world.script import STATIONS

TILE, GAP, LINE, FONT = 150, 10, 17, 13  # px: a frame's width and height, between frames, a line of text, its size
SMALL_TILE = 84  # px; of a sheet
PER_ROW = 8  # frames
Colour = tuple[int, int, int]
INK, FAINT, RIGHT, PAPER = (20, 20, 20), (120, 120, 120), (0, 120, 40), (255, 255, 255)
LETTERS_A_LINE = 112  # of text beside the observations


def strip(row: Mapping, root: Path) -> Image.Image:
    """One item: a frame of every event, both observations of its octet, question, options, the right one, the truth.

    Raises MediaError if the video or a picture cannot be decoded.
    """
    tiles, seen, text = _events(row, root), _observations(row, root), _text(row)
    upper = TILE + 2 * LINE + GAP if tiles else 0
    lower = max(TILE + 2 * LINE, LINE * len(text)) + GAP
    top = 2 * GAP + LINE
    sheet = Image.new("RGB", (GAP + PER_ROW * (TILE + GAP), top + upper + lower), PAPER)
    _write(sheet, GAP, GAP, [(_title(row), INK)])
    _lay(sheet, top, tiles)
    _lay(sheet, top + upper, seen)
    _write(sheet, GAP + len(seen) * (TILE + GAP), top + upper, text)
    return sheet


def contact_sheet(rows: Sequence[Mapping], root: Path, most: int) -> Image.Image:
    """Return the first item of each of the first groups, a line each: events, observation, goal and answer."""
    groups = list({row["group_id"]: row for row in reversed(rows)}.values())[::-1][:most]
    height, width = SMALL_TILE + 2 * LINE + GAP, GAP + (PER_ROW + 1) * (SMALL_TILE + GAP)
    sheet = Image.new("RGB", (width, GAP + height * max(1, len(groups))), PAPER)
    for line, row in enumerate(groups):
        top = GAP + line * height
        tiles = [*(frame for frame, _ in _events(row, root)), _observations(row, root)[0][0]]
        _lay(sheet, top, [(tile, "") for tile in tiles], SMALL_TILE)
        _write(sheet, GAP, top + SMALL_TILE, [(_title(row), FAINT), (f"{row['question']}   {row['answer']}", INK)])
    return sheet


def _events(row: Mapping, root: Path) -> list[tuple[np.ndarray, str]]:
    """Return the middle frame of every event and of the closing lids, with what happens; none where there is no video."""
    progress = row["task_progress_metadata"]
    if not progress:
        return []
    path = root / "videos" / SOURCE / row["video_basename"]
    middles = np.array([(each["start_frame"] + each["stop_frame"] + 1) // 2 for each in progress])
    told = [f"{TIMES[e['slot']]}: {e['verb']} {e['thing']} {e['place']}" for e in row["script"]] + [ALL_CLOSE.lower()]
    frames = read_frames(path, read_index(path), middles, "pyav")
    return [(frame, f"{text}\nframe {at}") for frame, text, at in zip(frames, told, middles, strict=True)]


def _observations(row: Mapping, root: Path) -> list[tuple[np.ndarray, str]]:
    """This item's observation and, in an octet, the one with the other lamp, whatever its border."""
    folder, own, lamp = root / "images" / SOURCE, row["current_observation_basename"], row["state"]["lamp"]
    if lamp is None:
        return [(read_image(folder / own), "what is seen now")]
    other = next(station for station in STATIONS if station != lamp)
    head, _, tail = own.rpartition(f"-{lamp}")
    twins = [folder / f"{head}-{other}{tail}", *sorted(folder.glob(f"{head}-{other}*"))]
    seen = [(folder / own, f"what is seen now:\nlamp {lamp}")]
    seen += [(twin, f"in its twins:\nlamp {other}") for twin in twins if twin.exists()][:1]
    return [(read_image(path), told) for path, told in seen]


def _text(row: Mapping) -> list[tuple[str, Colour]]:
    """Lines and their colours."""
    lines = [(row["question"], INK), ("", INK)]
    for letter, choice in zip(LETTERS, choices(row), strict=True):
        right = choice == row["answer"]
        lines.append((f"{letter}  {choice}{'     <- right' if right else ''}", RIGHT if right else INK))
    cue = row["cue"]
    planted = "no cue" if cue["points_to"] is None else f"cue: {cue['kind']} points to {cue['points_to']}"
    looks = ", ".join(f"{axis} {value}" for axis, value in row["env_axes"].items() if axis not in ("test", "grain"))
    for text in (f"truth: {row['oracle_think']}", planted, looks):
        lines += [("", INK), *((part, FAINT) for part in wrap(text, LETTERS_A_LINE))]
    return lines


def _title(row: Mapping) -> str:
    return f"{row['sample_id']}   {row['family']}   {row['stratum']}"


def _lay(sheet: Image.Image, top: int, tiles: Sequence[tuple[np.ndarray, str]], tile: int = TILE) -> None:
    """Pictures side by side, as large as fit into squares of ``tile`` px, their pixels square; captions below."""
    for place, (picture, told) in enumerate(tiles):
        left, (height, width) = GAP + place * (tile + GAP), picture.shape[:2]
        scale = tile / max(height, width)
        smooth = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
        fitted = Image.fromarray(picture).resize((round(width * scale), round(height * scale)), smooth)
        sheet.paste(fitted, (left, top))
        _write(sheet, left, top + tile + 2, [(line, INK) for line in told.splitlines()])


def _write(sheet: Image.Image, left: int, top: int, lines: Sequence[tuple[str, Colour]]) -> None:
    draw = ImageDraw.Draw(sheet)
    for number, (line, ink) in enumerate(lines):
        draw.text((left, top + number * LINE), line, fill=ink, font=_font())


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own; it takes a while to load."""
    return ImageFont.load_default(FONT)
