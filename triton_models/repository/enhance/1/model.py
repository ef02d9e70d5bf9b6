"""What Triton loads: the pipeline named after this model, behind the glue that all models share."""

import os
import sys
from pathlib import Path

# Triton's interpreter ignores PYTHONPATH, and the local launcher serves a copy of this repository.
sys.path.append(os.environ.get("IMAGEN_PROJECT_ROOT") or str(Path(__file__).resolve().parents[4]))

from triton_models.serving import PipelineModel as TritonPythonModel

__all__ = ["TritonPythonModel"]
