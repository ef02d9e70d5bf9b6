"""Ctrl-C in the middle of a pass, in a process of its own: what a shell sees of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from triton_models.engines import OPERATIONS

if TYPE_CHECKING:
    from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
class TestCtrlCWhileTorchComputes:
    def test_ends_with_130_and_one_sentence(
        self,
        volume: Path,
        x4plus_volume: Path,
        small_photo: Image.Image,
        tmp_path: Path,
        request: pytest.FixtureRequest,
    ) -> None:
        small_photo.resize((480, 320)).save(tmp_path / "in.png")
        for entry in (*OPERATIONS["upscale"].light.weights, "realesrgan-x4plus-ncnn"):
            (tmp_path / entry).symlink_to((x4plus_volume if entry.endswith("ncnn") else volume) / entry)
        words = ["--volume", tmp_path, "run", "upscale", tmp_path / "in.png", tmp_path / "out.png"]
        # Where a script runs the tests in its background the signal is ignored, and children inherit that.
        heard = ["env", "--default-signal=INT"]
        shell = subprocess.Popen(
            [*heard, sys.executable, "-m", "triton_models", *map(str, words), "--engine", "realesrgan-x4plus"],
            cwd=ROOT,
            env={**os.environ, "IMAGEN_DEVICE": "cpu"},
            stderr=subprocess.PIPE,
        )
        request.addfinalizer(shell.kill)
        assert shell.stderr is not None
        # The bar moves off 0 % when the first of the network's blocks is done.
        said = b""
        while b"%" not in said or said.rstrip().endswith(b" 0%"):
            said += os.read(shell.stderr.fileno(), 4096)

        shell.send_signal(signal.SIGINT)
        _, rest = shell.communicate(timeout=60)

        assert shell.returncode == 130
        assert rest.splitlines()[-1] == b"Stopped; nothing was written."
        assert not (tmp_path / "out.png").exists()
