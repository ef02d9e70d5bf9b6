"""Every alert fires when it must and is silent when it must, says so in a sentence, and leads to a page that helps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.manifests.alerting import CLUSTER, GOOGLE, UNIT_TESTS, alerts, for_promtool, groups_of, promtool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.manifests.alerting import Alert

pytestmark = pytest.mark.deployment

ALERTS = alerts(CLUSTER, GOOGLE)
UNIT_TEST_FILES = sorted(UNIT_TESTS.glob("*.yaml"))
EACH = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)


def checks(name: str) -> list[dict[str, Any]]:
    """Return what an alert's unit tests expect of it, moment by moment."""
    groups = yaml.safe_load((UNIT_TESTS / f"{name}.yaml").read_text())["tests"]
    return [check for group in groups for check in group["alert_rule_test"]]


def only(name: str) -> list[dict[str, Any]]:
    """Return the group of an alert, without the others in it."""
    groups = groups_of(CLUSTER, GOOGLE)
    kept = [{**group, "rules": [rule for rule in group["rules"] if rule["alert"] == name]} for group in groups]
    return [group for group in kept if group["rules"]]


class TestTheRules:
    def test_are_what_prometheus_takes(self, tmp_path: Path) -> None:
        (tmp_path / "rules.yaml").write_text(for_promtool(groups_of(CLUSTER, GOOGLE)))

        code, said = promtool("check", "rules", "rules.yaml", folder=tmp_path)

        assert code == 0, said

    def test_have_names_that_differ(self) -> None:
        names = [alert.name for alert in ALERTS]

        assert len(names) == len(set(names))


class TestTheUnitTests:
    def test_are_there_for_each_alert_and_for_nothing_else(self) -> None:
        assert {file.stem for file in UNIT_TEST_FILES} == {alert.name for alert in ALERTS}

    def test_pass(self, tmp_path: Path) -> None:
        # Each with its own alert alone: promtool evaluates all that it is given at every step of every test.
        for file in UNIT_TEST_FILES:
            folder = tmp_path / file.stem
            folder.mkdir()
            (folder / file.name).write_text(file.read_text())
            (folder / "rules.yaml").write_text(for_promtool(only(file.stem), annotations=False))

        code, said = promtool(
            "test", "rules", *(f"{file.stem}/{file.name}" for file in UNIT_TEST_FILES), folder=tmp_path
        )

        assert code == 0, said


@EACH
class TestEachAlert:
    def test_is_seen_to_fire_and_to_be_silent(self, alert: Alert) -> None:
        mine = [check for check in checks(alert.name) if check["alertname"] == alert.name]

        assert [check for check in mine if check["exp_alerts"]]
        assert [check for check in mine if not check["exp_alerts"]]

    def test_wakes_somebody_or_waits_for_the_morning(self, alert: Alert) -> None:
        assert alert.severity in {"page", "ticket"}

    def test_says_what_is_wrong_in_a_sentence_of_labels_that_it_has(self, alert: Alert) -> None:
        named = set(re.findall(r"\$labels\.(\w+)", alert.summary))
        fired = [set(each["exp_labels"]) for check in checks(alert.name) for each in check["exp_alerts"]]

        assert re.fullmatch(r"[A-Z{].*\.", alert.summary)
        assert all(named <= labels for labels in fired)
