"""
A model that sleeps instead of thinking, behind the same glue as the real ones.

OPTIONS: steps (5), step_seconds (0), preview (text), fail (after the steps: refuse, bug, mumble or crash). The result is
the input turned round.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(os.environ.get("IMAGEN_PROJECT_ROOT") or str(Path(__file__).resolve().parents[5]))

from triton_models.errors import Cancelled, InvalidParameter
from triton_models.pipeline import Request, Result
from triton_models.serving import PipelineModel


class SleepingPipeline:
    def run(
        self, request: Request, *, on_progress: Callable[[float, bytes | None], None], is_cancelled: Callable[[], bool]
    ) -> Result:
        steps = int(str(request.options.get("steps", 5)))
        preview = str(request.options.get("preview", "")).encode()
        for step in range(steps):
            if is_cancelled():
                raise Cancelled("The request was cancelled.")
            on_progress(step / steps, preview or None)
            time.sleep(float(str(request.options.get("step_seconds", 0))))
        _fail(request.options.get("fail"))
        info = (
            {name: value for name, value in vars(request).items() if name != "image"}
            | {"batch_size": 1}
            | {"batch_size": 1}
        )
        return Result(image=request.image[::-1], format="png", width=1, height=1, info=info, preview=preview)

    def close(self) -> None:
        """It has nothing to close."""


def _fail(how: object) -> None:
    if how == "refuse":
        raise InvalidParameter("Nobody can paint with -1 steps: é.")
    if how == "bug":
        raise ZeroDivisionError
    if how == "mumble":
        print("é")  # noqa: T201 - what a careless library does
    if how == "crash":
        os._exit(9)


class TritonPythonModel(PipelineModel):
    def load_pipeline(self, operation: str, volume: Path) -> SleepingPipeline:
        return SleepingPipeline()
