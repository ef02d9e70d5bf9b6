"""`python -m imagen_site.smoke URL`: 0 when all is well, else 1 and a sentence."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import imagen_site.smoke
from imagen_site.smoke.journey import Journey
from imagen_site.smoke.site import Site, SmokeFailure
from jobs.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

PHOTO = Path(__file__).with_name("photo.jpg")


def operation_names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in OPERATIONS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(OPERATIONS)}")
    return names


def header(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not (name and found):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    key = os.environ.get("SMOKE_API_KEY", "").strip()
    if not key and not options.health_alone:
        sys.stderr.write("SMOKE_API_KEY is not set: an API key of the account that the smoke test uses.\n")
        return 1
    site = Site(options.url, key=key, headers=dict(options.header))
    journey = Journey(site, PHOTO.read_bytes(), patience=options.patience)
    try:
        if options.health_alone:
            journey.check_health()
            sys.stdout.write("Only the site's health was looked at: no photo was sent.\n")
        else:
            journey.make(options.operations)
    except SmokeFailure as failure:
        sys.stderr.write(f"The smoke test failed. {failure}\n")
        return 1
    finally:
        site.close()
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m imagen_site.smoke",
        description=imagen_site.smoke.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", help="where the site is, such as http://127.0.0.1:8000")
    parser.add_argument("--operations", type=operation_names, default=list(OPERATIONS), help="commas between them")
    parser.add_argument("--patience", type=float, default=900, help="seconds for all jobs together (900)")
    parser.add_argument("--header", type=header, action="append", default=[], help="NAME=VALUE, sent with each request")
    parser.add_argument("--health-alone", action="store_true", help="send no photo, which needs no key")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
