"""What Imagen costs: the formula, the figures it is fed with, and the command that prints it."""

from __future__ import annotations

import ast
import json
import re
import shlex
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from imagen_site.cost import model, prices, reference, work
from imagen_site.cost.model import HOURS, Plan
from jobs.operations import OPERATIONS

ROOT = Path(__file__).resolve().parents[2]
COST = ROOT / "imagen_site/cost"


@pytest.fixture
def plan() -> Plan:
    return Plan(prices.of_region("europe-west4"))


def printed(*options: str) -> str:
    out = StringIO()
    call_command("cost", *options, stdout=out)
    return out.getvalue().rstrip("\n")


def benchmarks() -> str:
    return (ROOT / "docs/benchmarks.md").read_text()


class TestAThousandImages:
    def test_cost_the_cards_seconds_the_bytes_and_the_bookkeeping(self, plan: Plan) -> None:
        # T4 and its machine, Spot: 0.175 + 0.10764 an hour; comic: 27 of 13 TFLOP a second; 3.1 MB at 0.12.
        by_hand = 1000 * (27 / 13) * 0.28264 / (3600 * 0.5) + 1000 * 3.1 / 1024 * 0.12

        assert model.per_thousand(plan, "style_comic") == pytest.approx(by_hand + model.bookkeeping(plan.prices))

    def test_cost_the_cards_share_twice_at_half_the_utilisation(self, plan: Plan) -> None:
        idle, busy = (model.per_thousand(replace(plan, utilisation=share), "enhance") for share in (0.25, 0.5))
        rest = model.per_thousand(plan, "enhance") - 1000 * plan.machine_seconds("enhance") * 0.28264 / 1800

        assert idle - rest == pytest.approx(2 * (busy - rest))

    def test_of_a_mix_cost_its_weighted_mean(self, plan: Plan) -> None:
        mixed = replace(plan, mix={"upscale": 0.75, "enhance": 0.25})

        expected = 0.75 * model.per_thousand(plan, "upscale") + 0.25 * model.per_thousand(plan, "enhance")
        assert model.per_thousand_mixed(mixed) == pytest.approx(expected)


class TestAMonth:
    def test_always_pays_one_machine(self, plan: Plan) -> None:
        assert model.machine_hours(replace(plan, images=1)) == HOURS

    def test_pays_more_when_one_machine_is_not_enough(self, plan: Plan) -> None:
        full = int(HOURS * 3600 * plan.utilisation / plan.mean_seconds)

        assert model.machine_hours(replace(plan, images=3 * full)) == pytest.approx(3 * HOURS, rel=1e-3)

    def test_costs_less_for_each_image_the_more_there_are(self, plan: Plan) -> None:
        each = [
            sum(model.month(replace(plan, images=images)).values()) / images for images in (1_000, 100_000, 1_000_000)
        ]

        assert each == sorted(each, reverse=True)

    def test_pays_the_site_by_the_second_and_the_database_in_both_zones(self, plan: Plan) -> None:
        # web and webhooks with a collector each: 2.4 vCPU and 2 GiB; 1 vCPU, 3.75 GB and a disk of 10 GB, twice.
        run = 730 * 3600 * (2.4 * 0.000018 + 2 * 0.000002)
        sql = 2 * (730 * (0.0413 + 3.75 * 0.007) + 10 * 0.17)

        paid = model.month(plan)
        assert (paid["Cloud Run"], paid["Cloud SQL"]) == (pytest.approx(run), pytest.approx(sql))


class TestTheBreakEven:
    @pytest.mark.parametrize("card", work.CARDS)
    def test_is_where_both_cost_the_same(self, plan: Plan, card: str) -> None:
        plan = replace(plan, card=card)

        use, images = model.hosted_break_even(plan)

        hosted = images * replace(plan, card="t4").mean_seconds * plan.prices["hosted_t4"]
        assert hosted == pytest.approx(HOURS * plan.machine_hour)
        assert use * HOURS * 3600 == pytest.approx(images * plan.mean_seconds)


class TestThePrices:
    def test_are_the_same_things_in_every_region(self) -> None:
        names = {frozenset(prices.of_region(region).prices) for region in prices.regions()}

        assert len(names) == 1

    def test_of_a_region_without_any_are_refused_in_a_sentence(self) -> None:
        with pytest.raises(ValueError, match="There are no prices for 'mars'; there are: europe-west4, us-central1"):
            prices.of_region("mars")

    @pytest.mark.parametrize("wrong", [{"dollars": 0}, {"verified": True, "seen": None}])
    def test_must_be_something_and_verified_on_a_day(self, wrong: dict[str, object]) -> None:
        row = {
            "name": "x",
            "region": "any",
            "dollars": 1.0,
            "unit": "hour",
            "what": "",
            "source": "",
            "verified": False,
        }

        with pytest.raises(ValueError, match="The price x"):
            prices.Price(**{**row, **wrong})  # type: ignore[arg-type]

    def test_that_nobody_looked_up_are_marked_where_they_are_printed(self, plan: Plan) -> None:
        unverified = [price for price in plan.prices.prices.values() if not price.verified]
        table = printed("--only", "prices")

        assert unverified
        assert table.count("**no**") == len(unverified)


class TestTheFigures:
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_of_a_processor_are_those_of_the_benchmark(self, operation: str) -> None:
        seconds = work.of_each_operation(work.NO_CARD)[operation].seconds

        row = re.search(rf"^\| `{operation}`, \d+ megapixels \| [\d.]+ s \| ([\d.]+) s \|", benchmarks(), re.MULTILINE)
        assert row is not None
        assert seconds == float(row[1])

    def test_of_claims_are_those_of_the_benchmark(self) -> None:
        ratios = [*reference.HTTP_OF_GRPC.values(), *reference.BATCHING_ON_A_PROCESSOR]

        assert [ratio for ratio in ratios if f"{ratio:.2f}" not in benchmarks()] == []

    def test_of_a_card_are_called_assumed(self) -> None:
        assert "seconds of L4, assumed" in printed("--only", "work", "--gpu", "l4")
        assert "seconds of a core, measured" in printed("--only", "work", "--gpu", "none")


class TestTheCommand:
    def test_says_the_same_to_programs(self, plan: Plan) -> None:
        answer = json.loads(printed("--json", "--mix", "upscale=1", "--images-per-month", "5000"))

        assert answer["per_thousand"] == {
            "upscale": model.per_thousand(plan, "upscale"),
            "mix": model.per_thousand(plan, "upscale"),
        }
        assert answer["month_in_all"] == sum(answer["month"].values())

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--utilisation", "0"], "'0' is not a share from 0.01 to 1"),
            (["--utilisation", "half"], "'half' is not a share"),
            (["--images-per-month", "-5"], "'-5' is not a whole number of images"),
            (["--images-per-month", "1,5"], "'1,5' is not a whole number of images"),
            (["--images-per-month", "9" * 5000], "is not a whole number of images from 1 to 1,000,000,000"),
            (["--mix", "upscale=0.5"], "each operation once, with a whole number below a million"),
            (["--mix", "sharpen=1"], "'sharpen' is none of upscale, enhance"),
            (["--mix", "upscale=1,upscale=2"], "'upscale=2' is not of the form upscale=60, each operation once"),
            (["--mix", "upscale"], "'upscale' is not of the form"),
            (["--gpu", "h100"], "invalid choice: 'h100'"),
            (["--region", "mars"], "There are no prices for 'mars'"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, options: list[str], said: str) -> None:
        # As it is given in a shell: a value may begin with a dash.
        pasted = [f"{options[0]}={options[1]}"]

        with pytest.raises(CommandError, match=re.escape(said)):
            printed(*pasted)


class TestThePage:
    def test_has_what_its_commands_print(self) -> None:
        page = (ROOT / "docs/cost.md").read_text()

        blocks = re.findall(
            r"```\n\.venv/bin/python manage\.py cost([^\n]*)\n```\n\n(### .*?)(?=\n\n(?!\|)|\n?\Z)", page, re.DOTALL
        )
        assert len(blocks) == page.count("manage.py cost --only")
        for options, table in blocks:
            assert table == printed(*shlex.split(options))


class TestTheModel:
    def test_knows_no_django(self) -> None:
        imported = {
            module
            for path in COST.glob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            for module in ([node.module] if isinstance(node, ast.ImportFrom) else [])
        }

        ours = {module for module in imported if module and module.split(".")[0] in {"django", "jobs", "imagen_site"}}
        assert {module for module in ours if not module.startswith("imagen_site.cost")} == {"jobs.operations"}
