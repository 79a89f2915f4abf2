"""Write the lock files: exact versions with hashes, for every Python and system at once.

Run by ``make lock``. The files name no package index, so a mirror of yours is used as configured.
"""

import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent
LOCKS = {  # The widest first: the others take their versions from it.
    "dev.txt": [
        *("--extra", "local", "--extra", "telemetry"),
        *("--group", "build", "--group", "dev"),
    ],
    "bench.txt": ["--group", "bench"],
    "local.txt": ["--extra", "local", "--group", "build"],
    "service.txt": ["--extra", "telemetry", "--group", "build"],
}


def main() -> None:
    """Compile each lock file with uv."""
    for name, wanted in LOCKS.items():
        target = FOLDER / name
        fixed = [] if name == "dev.txt" else ["--constraint", str(FOLDER / "dev.txt")]
        subprocess.run(
            [
                *("uv", "pip", "compile", "pyproject.toml", *wanted, *fixed),
                *("--universal", "--python-version", "3.11", "--generate-hashes"),
                *("--no-emit-index-url", "--no-annotate", "--no-header", "--quiet", "--upgrade"),
                *("--output-file", str(target)),
            ],
            cwd=FOLDER.parent,
            check=True,
        )
        pinned = [line for line in target.read_text().splitlines() if "==" in line]
        print(f"{target.name}: {len(pinned)} packages")


if __name__ == "__main__":
    main()
