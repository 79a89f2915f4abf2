"""A file system of its own for Postgres, where one can be mounted: it can be filled."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

DISK_BYTES = 8 * 1024**3
"""More than a long run needs. The image is sparse: it takes what is written to it."""
BLOCK_BYTES = 4_096


class FillableDisk:
    """An ext4 image mounted at a folder; the plain folder when that is not allowed here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_mounted = False
        self.why_not = ""
        self._image = folder.with_suffix(".img")
        self._ballast = folder / "ballast"

    def mount(self) -> None:
        """Make the image and mount it, if this user may."""
        self.folder.mkdir()
        with self._image.open("wb") as image:
            image.truncate(DISK_BYTES)
        try:
            # No blocks are kept back for root, or the last ones would be out of Postgres's reach.
            _run("mkfs.ext4", "-q", "-m", "0", str(self._image))
            _run("mount", "-o", "loop", str(self._image), str(self.folder))
        except (OSError, subprocess.CalledProcessError) as error:
            self.why_not = str(getattr(error, "stderr", "") or error).strip()
            self._image.unlink()
        else:
            self.is_mounted = True

    def fill(self) -> None:
        """Take every free block."""
        with self._ballast.open("wb", buffering=0) as ballast:
            with suppress(OSError):  # Where the blocks are needs blocks, too.
                free = os.statvfs(self.folder)
                os.posix_fallocate(ballast.fileno(), 0, free.f_bfree * free.f_frsize)
            ballast.seek(0, os.SEEK_END)
            with suppress(OSError):
                while True:
                    ballast.write(bytes(BLOCK_BYTES))

    def free(self) -> None:
        """Give them back."""
        if self.is_mounted:
            self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Be a folder again."""
        if self.is_mounted:
            with suppress(OSError, subprocess.CalledProcessError):
                _run("umount", str(self.folder))
            self.is_mounted = False


def _run(*command: str) -> None:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
