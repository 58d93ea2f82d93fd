"""Check that media files are inside the data root."""

from pathlib import Path

from mmrl.data.media.errors import MediaError, no_such_file


def inside(root: Path, relative: Path | str) -> Path:
    """Return ``root / relative`` with links resolved. Raises MediaError if it is not inside ``root``.

    Annotations come from strangers; an image path of ``../../.ssh/id_rsa`` must not be opened or shown in a report.
    """
    path = Path(relative)
    advice = "state media paths relative to data.root"
    if path.is_absolute():
        raise MediaError(path, "an absolute path", f"a path relative to the data root {root}", advice)
    if ".." in path.parts or "\0" in str(path):
        raise MediaError(repr(str(path)), "'..' or a null byte", f"a path inside the data root {root}", advice)
    full = (root / path).resolve()
    if not full.is_relative_to(root.resolve()):
        advice = "make data.root a folder that holds the real files too"
        raise MediaError(path, f"a link to {full}", f"a file inside the data root {root.resolve()}", advice)
    return full


def file_inside(root: Path, relative: Path | str) -> Path:
    """Return the path as `inside` does. Raises MediaError also if there is no such file."""
    path = inside(root, relative)
    if not path.is_file():
        raise no_such_file(path)
    return path
