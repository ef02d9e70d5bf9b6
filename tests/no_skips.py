"""On CI a test that is skipped is a test that failed: there, whatever a test lacks has to be installed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

# What CI cannot have; everything else it must.
_MAY_BE_SKIPPED = ("gpu", "live")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    expected_failure = hasattr(report, "wasxfail")
    if report.skipped and not expected_failure and not any(map(item.get_closest_marker, _MAY_BE_SKIPPED)):
        _fail_on_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    # A whole module may skip itself too.
    report = yield
    if report.skipped:
        _fail_on_ci(report)
    return report


def _fail_on_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}\nOn CI nothing may be skipped: install what is missing."
