"""Fixtures that every app's tests share."""

from hypothesis import HealthCheck, settings

# The first text drawn in a fresh checkout builds a table of Unicode, which takes seconds and says nothing of the test.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

pytest_plugins = [
    "tests.no_skips",
    "tests.cast",
    "tests.files",
    "tests.postgres_fixtures",
    "tests.triton_fixtures",
    "tests.emulator_fixtures",
    "tests.site_fixtures",
    "tests.cloud_fixtures",
]
