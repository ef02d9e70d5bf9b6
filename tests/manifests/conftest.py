"""What tests of the manifests share."""

from collections.abc import Callable

import pytest

from tests.manifests import rendering
from tests.manifests.rendering import Manifest


@pytest.fixture(scope="session")
def rendered() -> Callable[[str], list[Manifest]]:
    """Render an overlay by its name: rendered("prod")."""
    return rendering.rendered


@pytest.fixture(params=rendering.OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """Return the manifests of each overlay in turn."""
    return rendering.rendered(request.param)
