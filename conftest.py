"""Fixtures that every app's tests share."""

pytest_plugins = [
    "tests.no_skips",
    "tests.cast",
    "tests.files",
    "tests.postgres_fixtures",
    "tests.triton_fixtures",
    "tests.site_fixtures",
]
