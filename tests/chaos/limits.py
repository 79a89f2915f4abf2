"""How long a file the processes of Postgres may write."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path


def limit_files(pids: list[int], limit: str) -> bool:
    """Set a limit, ``<soft>:<hard>``; False when it can't be done here."""
    for pid in pids:
        with suppress(FileNotFoundError):  # A child that has ended meanwhile.
            # The limits of another user's process are not even root's to change everywhere.
            owner = Path(f"/proc/{pid}").stat()
            as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
            subprocess.run(
                ["prlimit", "--pid", str(pid), f"--fsize={limit}"],
                check=False,
                capture_output=True,
                **(as_owner if os.geteuid() == 0 else {}),  # type: ignore[call-overload]
            )
    text = Path(f"/proc/{pids[0]}/limits").read_text(encoding="ascii")
    return limit.partition(":")[0] in text
