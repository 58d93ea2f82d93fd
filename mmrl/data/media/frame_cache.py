"""Cache decoded frames on disk; an entry's name covers everything that decides them: file content, sampling and size."""

import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load, save

from mmrl.data.media.downscale import downscaled
from mmrl.data.media.frame_choice import FrameChoice
from mmrl.data.media.frame_size import SizeRule
from mmrl.data.media.video import Clip, Part, Reader, reading
from mmrl.runtime.disk_cache import Disk, Tally
from mmrl.runtime.files import sha256, sha256_of

FORMAT = 1  # the version of entries; increase it if decode returns other frames for the same file
DECODERS = ("av", "decord", "pillow")


class Key(NamedTuple):
    """A file's content and all settings of its decoding."""

    content: str
    choice: FrameChoice | None  # None for an image
    reader: Reader
    part: Part | None = None  # the part of a video; None for all of it
    rule: SizeRule | None = None  # the rule by which it is downscaled


@dataclass(frozen=True)
class Fetched:
    """A medium and its origin."""

    medium: Clip | np.ndarray
    decoded: bool  # False if it came from a cache
    tally: Tally = field(default_factory=Tally)


class Contents:
    """Digests of files, computed once for each state of a file: path, inode, size, modification and change time.

    Programs can set the modification time, as copies do that preserve it, but not the change time. With ``disk``, later
    processes use the digests too.
    """

    def __init__(self, disk: Disk | None, tally: Tally) -> None:
        self.disk, self.tally = disk, tally
        self.known: dict[tuple, str] = {}

    def of(self, path: Path) -> str:
        """Return the SHA-256 of an existing file's content."""
        status = path.stat()
        state = (str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if state not in self.known:
            self.known[state] = self.digest(path, state)
        return self.known[state]

    def digest(self, path: Path, state: tuple) -> str:
        """Return the digest from the disk cache, or compute it from the file."""
        if self.disk is None:
            return sha256_of(path)
        name, unseen = digest_of({"state": list(state)}), Tally()
        note = self.disk.get(name, unseen)
        if note is None:
            note = sha256_of(path).encode()
            self.disk.put(name, note, unseen)
        self.tally.corrupt += unseen.corrupt  # a note is no medium: hits and bytes are those of frames
        return note.decode()


def digest_of(facts: dict) -> str:
    """Return the SHA-256 of plain data."""
    return sha256(json.dumps(facts, sort_keys=True))


def entry_name(key: Key) -> str:
    """Return the name of an entry: a digest of everything that decides the frames, the decoders' versions included."""
    choice = None if key.choice is None else asdict(key.choice)
    facts = {"format": FORMAT, "content": key.content, "choice": choice, "reader": key.reader}
    facts |= {package: version(package) for package in DECODERS}
    if key.part is not None:
        facts |= {"part": list(key.part)}
    if key.rule is not None:
        facts |= {"rule": asdict(key.rule), "torch": version("torch")}
    return digest_of(facts)


@cache
def version(package: str) -> str:
    """Return the installed version of a package, or "absent"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def fetch(path: Path, key: Key, decode: Callable[..., Clip], disk: Disk | None) -> Fetched:
    """Return a medium from the disk cache, or decode, downscale and store it. Raises what ``decode`` raises."""
    tally = Tally()
    if disk is not None and (entry := disk.get(entry_name(key), tally)) is not None:
        return Fetched(unpacked(entry), False, tally)
    read, rest = reading(decode, key.choice, key.reader, key.part)
    medium = read(path, *rest)
    if key.rule is not None:
        medium = downscaled(medium, key.rule)
    if disk is not None:
        disk.put(entry_name(key), packed(medium), tally)
    return Fetched(medium, True, tally)


def packed(medium: Clip | np.ndarray) -> bytes:
    """Serialise a medium to bytes."""
    if not isinstance(medium, Clip):
        return save({"image": np.ascontiguousarray(medium)})
    arrays = {name: np.ascontiguousarray(getattr(medium, name)) for name in ("frames", "indices", "timestamps")}
    rest = {name: getattr(medium, name) for name in ("fps", "total", "reader", "chosen_by", "fallback", "first")}
    rest |= {"rule": asdict(medium.rule)} if medium.rule is not None else {}
    return save(arrays | {"rest": np.frombuffer(json.dumps(rest).encode(), np.uint8)})


def unpacked(entry: bytes) -> Clip | np.ndarray:
    """Return the medium that ``packed`` serialised, bit by bit."""
    arrays = load(entry)
    if "image" in arrays:
        return arrays["image"]
    rest = json.loads(arrays.pop("rest").tobytes())
    rule = rest.pop("rule", None)
    return Clip(**arrays, **rest, rule=rule and SizeRule(**rule))
