"""`python -m coalmine.judge`: the service alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coalmine.errors import CoalmineError
from coalmine.judge.lease import SECONDS
from coalmine.judge.logs import FORMATS
from coalmine.judge.service import Options, serve


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m coalmine.judge", description="judge canaries over HTTP")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8460)
    parser.add_argument("--database", required=True, help="a file for SQLite, or a URL of PostgreSQL")
    parser.add_argument("--access-log", type=Path, help="nginx's JSON access log")
    parser.add_argument("--feedback", type=Path, help="the feedback store's SQLite file")
    parser.add_argument("--prometheus", default="", help="the URL of a Prometheus server")
    parser.add_argument("--policies", type=Path, help="folder of <namespace>.<name>.yaml")
    parser.add_argument("--tokens", type=Path, help="the file of those who may push and override")
    parser.add_argument("--replica-name", default="", help="this replica's own name; default: the host's")
    parser.add_argument("--lease-seconds", type=float, default=SECONDS)
    parser.add_argument("--drift", type=Path, help="the folder in which `coalmine drift` leaves its page")
    parser.add_argument("--reports", type=Path, help="the folder with the closer's reports on releases")
    parser.add_argument("--log-format", choices=FORMATS, default="json")
    try:
        serve(Options(**vars(parser.parse_args(arguments))))
    except CoalmineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
