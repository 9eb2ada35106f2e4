"""A browser that only writes down which addresses it was asked to open: `BROWSER` of every test."""

import os
import sys
from pathlib import Path

RECORD = "TESTS_BROWSER_RECORD"
"""The variable that names the file where the addresses go, a line each."""

COMMAND = f"{sys.executable} {Path(__file__).resolve()} %s"
"""What `BROWSER` is set to."""

if __name__ == "__main__":
    with Path(os.environ[RECORD]).open("a", encoding="utf-8") as record:
        record.write(f"{sys.argv[1]}\n")
