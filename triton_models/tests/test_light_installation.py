"""What `make run` installs has no torch, and what serves light engines never loads it where it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from triton_models.engines import OPERATIONS

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "diffusers", "transformers", "accelerate")
SERVE = f"""
import sys

heavy = {HEAVY!r}
if "--without" in sys.argv:
    sys.modules.update(dict.fromkeys(heavy))

from triton_models import self_test, weights
from triton_models.engines import OPERATIONS
from triton_models.pipeline import Pipeline

for operation in OPERATIONS:
    pipeline = Pipeline.load(operation, weights.model_volume())
    self_test.check(pipeline)
    print(operation, *(name for name in heavy if sys.modules.get(name)))
"""


@pytest.fixture
def light_volume(volume: Path, tmp_path: Path) -> Path:
    """The light engines' weights alone, whatever else lies in the cache."""
    for entry in {entry for operation in OPERATIONS.values() for entry in operation.light.weights}:
        (tmp_path / entry).symlink_to(volume / entry)
    return tmp_path


def serve(light_volume: Path, *arguments: str) -> list[str]:
    environment = {**os.environ, "IMAGEN_MODELS_DIR": str(light_volume), "IMAGEN_DEVICE": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SERVE, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


class TestALightInstallation:
    def test_serves_every_operation(self, light_volume: Path) -> None:
        assert serve(light_volume, "--without") == [*OPERATIONS]

    def test_takes_no_more_memory_where_torch_is_installed(self, light_volume: Path) -> None:
        # Each line names what was loaded, beside the operation.
        assert serve(light_volume) == [*OPERATIONS]
