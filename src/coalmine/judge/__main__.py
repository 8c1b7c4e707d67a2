"""`python -m coalmine.judge`: the service alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coalmine.errors import CoalmineError
from coalmine.judge.service import serve


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m coalmine.judge", description="judge canaries over HTTP")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8460)
    parser.add_argument("--database", required=True, help="a file for SQLite, or a database URL")
    parser.add_argument("--access-log", type=Path, required=True, help="nginx's JSON access log")
    parser.add_argument("--feedback", type=Path, required=True, help="the feedback store's SQLite file")
    parser.add_argument("--policies", type=Path, help="folder of <namespace>.<name>.yaml")
    given = parser.parse_args(arguments)
    try:
        serve(**vars(given))
    except CoalmineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
