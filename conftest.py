"""Fixtures that tests of several packages share; pytest takes plugins from the topmost conftest only."""

pytest_plugins = ["tests.triton_fixtures"]
