"""``python -m outofsight``."""

from outofsight.cli import main

if __name__ == "__main__":
    main()
