"""Say what Imagen costs in a month and for 1,000 images, from the prices in imagen_site/cost/prices.toml."""

import json
import re
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter

from imagen_site.cost import prices, tables
from imagen_site.cost.model import Plan
from imagen_site.cost.work import CARDS, NO_CARD
from jobs.operations import OPERATIONS

_EXAMPLES = """
examples:
  manage.py cost
  manage.py cost --images-per-month 200000 --gpu l4 --on-demand
  manage.py cost --mix upscale=60,background_remove=40 --utilisation 0.7
  manage.py cost --only month --only break-even
  manage.py cost --json
"""


# 200000 or 200,000; but 1,5 is somebody's one and a half.
_COUNT = re.compile(r"[0-9]{1,10}|[0-9]{1,3}([,_][0-9]{3}){1,3}")


def image_count(text: str) -> int:
    digits = re.sub("[,_]", "", text) if _COUNT.fullmatch(text) else "0"
    if not 1 <= int(digits) <= 10**9:
        raise ArgumentTypeError(f"{text!r} is not a whole number of images from 1 to 1,000,000,000.")
    return int(digits)


def utilisation(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0
    if not 0.01 <= share <= 1:
        raise ArgumentTypeError(f"{text!r} is not a share from 0.01 to 1, such as 0.5.")
    return share


def mix(text: str) -> dict[str, float]:
    """Return the share of each operation that is named, 1 in all; the text has weights."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        if name not in OPERATIONS:
            raise ArgumentTypeError(f"{name!r} is none of {', '.join(OPERATIONS)}.")
        if name in weights or not re.fullmatch("0*[1-9][0-9]{0,5}", weight):
            raise ArgumentTypeError(
                f"{part!r} is not of the form upscale=60, each operation once, with a whole number below a million."
            )
        weights[name] = int(weight)
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


class Help(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """The examples as they are written, and what every command has at the end."""


class Command(BaseCommand):
    help = __doc__
    # It asks neither the database nor anything else.
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:  # noqa: ANN401
        options |= {"epilog": _EXAMPLES, "formatter_class": Help}
        return super().create_parser(prog_name, subcommand, **options)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--images-per-month", type=image_count, default=10_000, metavar="N", help="how many (10,000)"
        )
        parser.add_argument("--mix", type=mix, help="weights, such as upscale=60,enhance=40 (all the same)")
        parser.add_argument("--utilisation", type=utilisation, default=0.5, help="of a card's time, at work (0.5)")
        parser.add_argument("--gpu", choices=(*CARDS, NO_CARD), default="t4", help="which card Triton has (t4)")
        parser.add_argument("--on-demand", action="store_true", help="machines that are not taken away")
        parser.add_argument("--region", default="europe-west4", help=f"one of {', '.join(prices.regions())}")
        parser.add_argument("--only", action="append", choices=tables.TABLES, help="this table; may be repeated")
        parser.add_argument("--json", action="store_true", help="all of it for programs, whatever --only says")

    def handle(self, *, images_per_month: int, gpu: str, region: str, **options: Any) -> None:  # noqa: ANN401
        try:
            of_region = prices.of_region(region)
        except ValueError as error:
            raise CommandError(str(error)) from error
        given = {"mix": options["mix"]} if options["mix"] else {}
        plan = Plan(
            of_region,
            card=gpu,
            spot=not options["on_demand"],
            utilisation=options["utilisation"],
            images=images_per_month,
            **given,
        )
        if options["json"]:
            self.stdout.write(json.dumps(tables.as_json(plan), indent=2))
        else:
            self.stdout.write(tables.printed(plan, options["only"] or ()))
