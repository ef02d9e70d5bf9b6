from __future__ import annotations

import subprocess
import sys

import pytest

from triton_models import probe


class TestTheModelsThatAServerIsToHave:
    @pytest.mark.parametrize(
        ("arguments", "models"),
        [
            (["--load-model=enhance", "--exit-timeout-secs=5"], ["enhance"]),
            (["--load-model=enhance", "--load-model=upscale"], ["enhance", "upscale"]),
            ([], [*probe.OURS]),
        ],
    )
    def test_are_those_that_it_was_started_with(self, arguments: list[str], models: list[str]) -> None:
        waiting = "import sys; print(flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", waiting, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as server:
            assert server.stdout
            # Only then is it no longer a copy of this process.
            server.stdout.readline()

            assert probe.models_of(server.pid) == models

            server.communicate()
