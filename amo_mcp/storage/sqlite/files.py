"""Which file is at a path: two processes share a file only while both have the same one open."""

from pathlib import Path

Identity = tuple[int, int]
"""A file, whatever its name: device and inode."""


def identity_of(path: Path) -> Identity | None:
    """The file that has this name now; None when there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
