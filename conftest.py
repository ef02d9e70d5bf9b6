"""Fixtures that every app's tests share."""

pytest_plugins = [
    "tests.cast",
    "tests.files",
    "tests.postgres_fixtures",
    "tests.triton_fixtures",
    "tests.site_fixtures",
]
