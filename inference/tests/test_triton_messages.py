"""Triton's messages without the client that they come with."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HEAVY = ("numpy", "ml_dtypes", "rapidjson")


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestTheMessages:
    def test_come_without_what_only_tritonclients_own_client_uses(self) -> None:
        code = f"import sys, inference.triton_client; print([name for name in {HEAVY} if name in sys.modules])"

        assert in_a_fresh_process(code) == "[]"

    def test_are_those_that_whoever_imports_the_whole_package_later_gets(self) -> None:
        code = """
            from inference.triton_messages import service_pb2
            import tritonclient.grpc
            print(tritonclient.grpc.service_pb2 is service_pb2, hasattr(tritonclient.grpc, "InferenceServerClient"))
        """

        assert in_a_fresh_process(code) == "True True"

    def test_are_those_that_whoever_imported_the_whole_package_before_has(self) -> None:
        code = """
            import tritonclient.grpc
            from inference.triton_messages import service_pb2
            print(tritonclient.grpc.service_pb2 is service_pb2)
        """

        assert in_a_fresh_process(code) == "True"
