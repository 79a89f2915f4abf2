"""``python -m ostatok`` is ``ostatok``."""

from ostatok.cli import main

if __name__ == "__main__":
    main()
