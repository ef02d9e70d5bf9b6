"""The arithmetic of what Triton is scaled by, run by Prometheus' own promtool."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from bench.simulation.manifests import PENDING_REQUESTS, QUEUE_SECONDS
from tests.manifests.rendering import K8S

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.deployment

RULES = K8S / "monitoring/recording-rules.yaml"
# Thirty requests a minute on each of two cards, each of which waited two seconds; one execution for three requests.
TWO_SECONDS = {
    'nv_inference_queue_duration_us{model="upscale",pod="a"}': "0+15000000x8",
    'nv_inference_request_success{model="upscale",pod="a"}': "0+7.5x8",
    'nv_inference_exec_count{model="upscale",pod="a"}': "0+2.5x8",
    'nv_inference_queue_duration_us{model="enhance",pod="b"}': "0+15000000x8",
    'nv_inference_request_success{model="enhance",pod="b"}': "0+7.5x8",
    'nv_inference_exec_count{model="enhance",pod="b"}': "0+2.5x8",
}


def promtool(folder: Path, *, series: dict[str, str], expected: dict[str, float], at: str = "2m") -> str:
    """Return what promtool complains of when the rules are run on these samples, one each 15 seconds."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": yaml.safe_load(RULES.read_text())["spec"]["groups"]}))
    tests = [
        {"expr": name, "eval_time": at, "exp_samples": [{"labels": name, "value": value}]}
        for name, value in expected.items()
    ]
    given = [{"series": name, "values": values} for name, values in series.items()]
    suite = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "15s",
        "tests": [{"interval": "15s", "input_series": given, "promql_expr_test": tests}],
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    ran = subprocess.run(
        ["promtool", "test", "rules", str(folder / "suite.yaml")], capture_output=True, text=True, check=False
    )
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


class TestQueueSeconds:
    def test_are_averaged_over_requests_of_all_models_and_cards(self, tmp_path: Path) -> None:
        assert promtool(tmp_path, series=TWO_SECONDS, expected={QUEUE_SECONDS: 2}) == ""

    def test_are_not_averaged_over_executions(self, tmp_path: Path) -> None:
        assert "got" in promtool(tmp_path, series=TWO_SECONDS, expected={QUEUE_SECONDS: 6})

    def test_are_zero_when_nobody_asked_for_anything_in_the_last_minute(self, tmp_path: Path) -> None:
        quiet = {name: values.split("+")[1].split("x")[0] + "+0x8" for name, values in TWO_SECONDS.items()}

        assert promtool(tmp_path, series=quiet, expected={QUEUE_SECONDS: 0}) == ""

    def test_are_zero_where_there_is_no_triton(self, tmp_path: Path) -> None:
        assert promtool(tmp_path, series={"up": "1x8"}, expected={QUEUE_SECONDS: 0}) == ""

    def test_forget_what_is_older_than_a_minute(self, tmp_path: Path) -> None:
        ended = {
            name: f"{values.split('x')[0]}x4 {float(values.split('+')[1].split('x')[0]) * 4:.1f}+0x8"
            for name, values in TWO_SECONDS.items()
        }

        assert promtool(tmp_path, series=ended, expected={QUEUE_SECONDS: 0}, at="3m") == ""


class TestPendingRequests:
    def test_are_counted_over_all_models_and_cards(self, tmp_path: Path) -> None:
        series = {
            'nv_inference_pending_request_count{model="upscale",pod="a"}': "5x8",
            'nv_inference_pending_request_count{model="enhance",pod="a"}': "3x8",
            'nv_inference_pending_request_count{model="enhance",pod="b"}': "4x8",
        }

        assert promtool(tmp_path, series=series, expected={PENDING_REQUESTS: 12}) == ""

    def test_are_zero_where_there_is_no_triton(self, tmp_path: Path) -> None:
        assert promtool(tmp_path, series={"up": "1x8"}, expected={PENDING_REQUESTS: 0}) == ""


class TestWhatTheyAreMadeOf:
    def test_comes_often_enough_for_a_minute_to_have_four_samples(self) -> None:
        (triton,) = [
            each
            for each in yaml.safe_load_all((K8S / "monitoring/pods.yaml").read_text())
            if each["metadata"]["name"] == "triton"
        ]
        (group,) = yaml.safe_load(RULES.read_text())["spec"]["groups"]
        intervals = [group["interval"], *(endpoint["interval"] for endpoint in triton["spec"]["endpoints"])]

        # A rate of a minute with one sample in it is none, and the latency would read as 0 for ever.
        assert [each for each in intervals if int(each.removesuffix("s")) > 15] == []


class TestTheRules:
    def test_are_what_prometheus_takes(self, tmp_path: Path) -> None:
        file = tmp_path / "rules.yaml"
        file.write_text(yaml.safe_dump({"groups": yaml.safe_load(RULES.read_text())["spec"]["groups"]}))

        checked = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)

        assert checked.returncode == 0, checked.stdout + checked.stderr
