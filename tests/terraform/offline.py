"""Terraform without a network, without a cloud, and without a trace in the tree."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.running_site import ROOT
from tests.terraform import google_schema

if TYPE_CHECKING:
    from pathlib import Path

TERRAFORM = ROOT / "terraform"
MODULES = sorted(file.parent for file in TERRAFORM.glob("modules/*/outputs.tf"))
ENVIRONMENTS = sorted(file.parent for file in TERRAFORM.glob("envs/*/main.tf"))
_TOOLS = ROOT / ".venv-deployment"
# Nobody listens there: whatever asks for the network fails at once, and says so.
_NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Answer:
    """What terraform said."""

    code: int
    text: str

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The lines of an answer to `-json`."""
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]


@dataclass(frozen=True)
class Terraform:
    """The program, with a google provider that only knows the schema of the real one."""

    scratch: Path

    @classmethod
    def install(cls, scratch: Path, *folders: Path) -> Terraform:
        """Make the provider ready in `scratch`, with the schema of the types used below the folders."""
        types = {name for folder in folders for name in google_schema.used_types(folder)}
        site_packages = next(_TOOLS.glob("lib/python*/site-packages"))
        google_schema.write_schema(
            scratch / "schema.json", types, site_packages=site_packages, cache=ROOT / ".cache/google-schema"
        )
        program = scratch / "terraform-provider-google"
        stub = ROOT / "tests/terraform/stub_provider.py"
        program.write_text(f'#!/bin/sh\nexec "{_TOOLS}/bin/python" "{stub}" "$@"\n')
        program.chmod(0o755)
        # No `direct`: a provider that is not this one is not looked for in a registry either.
        (scratch / "terraformrc").write_text(
            f'provider_installation {{\n  dev_overrides {{\n    "hashicorp/google" = "{scratch}"\n  }}\n}}\n'
        )
        return cls(scratch)

    def __call__(self, folder: Path, *arguments: str) -> Answer:
        """Run a command of terraform in a folder, after its modules have been fetched."""
        if arguments[0] in {"validate", "test"}:
            fetched = self._run(folder, "get", "-no-color")
            if fetched.code:
                return fetched
        return self._run(folder, *arguments)

    def _run(self, folder: Path, *arguments: str) -> Answer:
        done = subprocess.run(
            ["terraform", f"-chdir={folder}", *arguments],
            env=self._environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Answer(done.returncode, done.stdout)

    def _environment(self, folder: Path) -> dict[str, str]:
        own = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        return {
            "PATH": os.environ["PATH"],
            # The provider's library keeps a certificate at home.
            "HOME": str(self.scratch),
            "STUB_SCHEMA": str(self.scratch / "schema.json"),
            "TF_CLI_CONFIG_FILE": str(self.scratch / "terraformrc"),
            "TF_DATA_DIR": str(self.scratch / "data" / own),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "HTTPS_PROXY": _NOWHERE,
            "HTTP_PROXY": _NOWHERE,
            "GRPC_VERBOSITY": "ERROR",
        }
