"""Alerts, dashboard and objectives ask for metrics that there are; a name that is wrong would be silent for ever."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client import REGISTRY

import imagen_site.metrics
import imagen_site.queues  # noqa: F401 - makes its counters
import jobs.metrics
from imagen_site.cost.model import Plan, worker_hour
from imagen_site.cost.prices import of_region
from imagen_site.unfinished_jobs import UnfinishedJobs
from jobs.operations import OPERATIONS
from tests.manifests.alerting import CLUSTER, GOOGLE, alerts, for_promtool, groups_of, promtool
from tests.manifests.metric_names import CLUSTER_METRICS, GOOGLES, TRITONS_CARDS, TRITONS_REQUESTS
from tests.manifests.promql import family, metrics
from tests.manifests.rendering import K8S, find, rendered
from tests.running_site import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.deployment

MODULE = ROOT / "terraform/modules/monitoring"
PRICES = {"triton_hour": "0.25", "worker_hour": "0.01"}
TRITON = TRITONS_REQUESTS | TRITONS_CARDS


def in_promql(name: str) -> str:
    """Return what PromQL calls a metric of Cloud Monitoring."""
    return re.sub(r"[^\w:]", "_", name.replace("/", ":", 1))


def exported() -> set[str]:
    """Return the names that our processes answer a scrape with."""
    unfinished = UnfinishedJobs(lambda: {"upscale": (1, 1.0)})
    families = [*REGISTRY.collect(), *unfinished.collect()]
    unfinished._thread.shutdown()
    return {f"{each.name}_total" if each.type == "counter" else each.name for each in families}


def recorded() -> set[str]:
    rules = [rule for group in groups_of(K8S / "monitoring/recording-rules.yaml") for rule in group["rules"]]
    return {rule["record"] for rule in rules}


def log_metrics() -> set[str]:
    [name] = re.findall(r'^  name += "([\w/]+)"', (MODULE / "log_metric.tf").read_text(), re.MULTILINE)
    return {in_promql(f"logging.googleapis.com/user/{name}")}


def known() -> set[str]:
    return exported() | TRITON | CLUSTER_METRICS | {in_promql(name) for name in GOOGLES} | recorded() | log_metrics()


def panels() -> dict[str, str]:
    """Return the dashboard's queries by panel and line, with prices put in."""
    text = (MODULE / "dashboard.yaml").read_text()
    for name, price in PRICES.items():
        text = text.replace(f"${{{name}}}", price)
    return {
        f"{panel['title']}, {line}": query
        for panel in yaml.safe_load(text)["panels"]
        for line, query in panel["queries"].items()
    }


ASKED = {**{alert.name: alert.expression for alert in alerts(CLUSTER, GOOGLE)}, **panels()}


class TestPromql:
    def test_is_taken_apart_into_the_series_that_it_selects(self) -> None:
        expression = 'sum by (le, pod) (rate(a_bucket{x="b"}[5m:1m])) / on (pod) group_left (c) (d:e offset 5m > 1e6) or vector(0)'

        assert metrics(expression) == {"a_bucket", "d:e"}


class TestWhatIsAsked:
    @pytest.mark.parametrize("name", ASKED)
    def test_is_there(self, name: str) -> None:
        there = known()

        asked = metrics(ASKED[name])
        assert asked
        assert {family(each, there) for each in asked} <= there

    def test_of_the_recording_rules_is_there(self) -> None:
        rules = [rule for group in groups_of(K8S / "monitoring/recording-rules.yaml") for rule in group["rules"]]

        assert {name for rule in rules for name in metrics(rule["expr"])} <= TRITON

    def test_of_workers_and_triton_is_not_left_out_when_they_are_scraped(self) -> None:
        kept = [
            rule["regex"]
            for pods in ("workers", "triton")
            for rule in find(rendered("prod"), "PodMonitoring", pods)["spec"]["endpoints"][0]["metricRelabeling"]
            if rule["action"] == "keep"
        ]
        ours = {name for query in ASKED.values() for name in metrics(query) if name.startswith(("imagen_", "nv_"))}

        assert {name for name in ours if not any(re.fullmatch(regex, name) for regex in kept)} == set()


class TestTheDashboard:
    def test_asks_in_promql(self, tmp_path: Path) -> None:
        rules = [{"record": f"panel:{at}", "expr": query} for at, query in enumerate(panels().values())]
        (tmp_path / "rules.yaml").write_text(for_promtool([{"name": "panels", "rules": rules}]))

        code, said = promtool("check", "rules", "rules.yaml", folder=tmp_path)

        assert code == 0, said

    def test_counts_the_cost_of_a_thousand_images_by_what_stands_there(self, tmp_path: Path) -> None:
        # One Triton and four workers for an hour, and 100 images: (0.25 + 4 * 0.01) / 100 * 1000.
        query = panels()["Dollars for 1,000 images, workers and cards"]
        series = {'up{job="triton",pod="t"}': "1x200"}
        series |= {f'up{{job="workers",pod="{pod}"}}': "1x200" for pod in "abcd"}
        series |= {'imagen_jobs_total{status="completed",operation="upscale"}': "0+1x200"}
        tested = {
            "interval": "36s",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {"expr": f"round({query}, 0.01)", "eval_time": "90m", "exp_samples": [{"labels": "{}", "value": 2.9}]}
            ],
        }
        (tmp_path / "test.yaml").write_text(yaml.safe_dump({"tests": [tested]}))

        code, said = promtool("test", "rules", "test.yaml", folder=tmp_path)

        assert code == 0, said

    def test_is_told_the_prices_that_the_cost_model_has(self) -> None:
        told = (ROOT / "terraform/modules/imagen/monitoring.tf").read_text()
        prices = {name: float(text) for name, text in re.findall(r"(triton_hour|worker_hour) = ([\d.]+)", told)}

        plan = Plan(of_region("europe-west4"))
        assert prices["triton_hour"] == pytest.approx(plan.machine_hour, abs=0.0001)
        assert prices["worker_hour"] == pytest.approx(worker_hour(plan.prices), abs=0.0001)


class TestTheObjectives:
    TEXT = (MODULE / "objectives.tf").read_text()

    def test_are_measured_by_metrics_that_the_workers_export(self) -> None:
        named = re.findall(r"\$\{local\.jobs\}(_\w+)/(counter|histogram)", self.TEXT)
        types = {
            (f"{each.name}_total" if each.type == "counter" else each.name): each.type for each in REGISTRY.collect()
        }

        assert len(named) == 4
        assert {name: kind for name, kind in named if types.get(f"imagen{name}") != kind} == {}

    def test_have_a_time_for_every_operation_at_a_bound_of_the_histogram(self) -> None:
        told = re.search(
            r"seconds = optional\(map\(number\), \{(.*?)\}\)", (MODULE / "variables.tf").read_text(), re.DOTALL
        )
        assert told
        seconds = {name: float(text) for name, text in re.findall(r"(\w+) += (\d+)", told[1])}

        bounds = jobs.metrics.JOB_SECONDS._upper_bounds
        assert set(seconds) == set(OPERATIONS)
        assert set(seconds.values()) <= set(bounds)
        assert 30.0 in jobs.metrics.QUEUE_WAIT_SECONDS._upper_bounds


class TestTheLinesThatAreWatched:
    def test_are_written_by_the_code(self) -> None:
        sources = [path for app in ("jobs", "imagen_site") for path in (ROOT / app).rglob("*.py")]
        written = {name for path in sources for name in re.findall(r'log\.\w+\(\s*"(\w+)"', path.read_text())}
        matched = re.findall(r'jsonPayload\.event=\\"(\w+)\\"', (MODULE / "log_alerts.tf").read_text())
        counted = re.findall(r'^    "(\w+)",$', (MODULE / "log_metric.tf").read_text(), re.MULTILINE)

        assert matched
        assert counted
        assert {*matched, *counted} <= written
