from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image
from skimage import data

from triton_models import weights
from triton_models.engines import OPERATIONS
from triton_models.images import Picture
from triton_models.pipeline import Pipeline

# The first text drawn in a fresh checkout builds a table of Unicode, which takes seconds and says nothing of the test.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from triton_models.diffusion.restyling import Restyler


@pytest.fixture(scope="session")
def volume() -> Path:
    """The model volume with every light engine's weights: fetched once, then found in the cache."""
    return _filled(weights.model_volume(), {entry for row in OPERATIONS.values() for entry in row.light.weights})


@pytest.fixture(scope="session")
def x4plus_volume() -> Path:
    """A model volume of the tests' own with Real-ESRGAN's ncnn files: on the common one, every server would load them."""
    return _filled(weights.model_volume().with_name("models-of-tests"), {"realesrgan-x4plus-ncnn"})


def _filled(folder: Path, entries: set[str]) -> Path:
    lock = weights.read_lock()
    weights.fetch([lock[entry] for entry in sorted(entries)], folder, say=lambda _line: None)
    return folder


@pytest.fixture(scope="session")
def upscale(volume: Path) -> Pipeline:
    return Pipeline.load("upscale", volume)


@pytest.fixture(scope="session")
def background_remove(volume: Path) -> Pipeline:
    return Pipeline.load("background_remove", volume)


@pytest.fixture(scope="session")
def tiny_volume() -> Iterator[Path]:
    """A model volume with tiny random diffusion models, and the lock that goes with it."""
    # Not above: it loads torch and diffusers, for seconds.
    from triton_models.tests import tiny

    folder = tiny.volume()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("IMAGEN_WEIGHTS_LOCK", str(folder / "weights.lock"))
        yield folder


@pytest.fixture(scope="session")
def load(volume: Path) -> Callable[[str], Pipeline]:
    """Load an operation's pipeline by its name, once."""
    return cache(lambda operation: Pipeline.load(operation, volume))


@pytest.fixture(scope="session")
def photographs() -> dict[str, Image.Image]:
    """Three photographs, their sides multiples of four."""
    found = {name: Image.fromarray(getattr(data, name)()) for name in ("astronaut", "coffee", "chelsea")}
    return {name: image.crop((0, 0, image.width // 4 * 4, image.height // 4 * 4)) for name, image in found.items()}


@pytest.fixture(scope="session")
def astronaut(photographs: dict[str, Image.Image]) -> Image.Image:
    return photographs["astronaut"]


@pytest.fixture(scope="session")
def small_photo(astronaut: Image.Image) -> Image.Image:
    return astronaut.resize((96, 64), Image.Resampling.BOX)


@pytest.fixture(scope="module")
def restylers(tiny_volume: Path) -> Iterator[dict[str, Restyler]]:
    """The engines that restyle a photograph, by name, on tiny networks."""
    from triton_models.tests import restyling

    with restyling.loaded(tiny_volume) as engines:
        yield engines


@pytest.fixture(params=["sdxl-refiner", "ghibli-diffusion", "stable-diffusion-2-1"])
def restyler(request: pytest.FixtureRequest, restylers: dict[str, Restyler]) -> Restyler:
    from triton_models.tests import restyling

    return restyling.rigged(restylers[request.param])


@pytest.fixture
def comic(restylers: dict[str, Restyler]) -> Restyler:
    from triton_models.tests import restyling

    return restyling.rigged(restylers["ghibli-diffusion"])


@pytest.fixture(scope="session")
def photo(astronaut: Image.Image) -> Picture:
    """A photograph that no working size fits."""
    return Picture(np.asarray(astronaut.resize((150, 110))))
