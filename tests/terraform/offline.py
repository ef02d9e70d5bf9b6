"""Terraform without a network, without a cloud, and without a trace in the tree."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.running_site import ROOT
from tests.terraform import google_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TERRAFORM = ROOT / "terraform"
MODULES = sorted(file.parent for file in TERRAFORM.glob("modules/*/outputs.tf"))
ENVIRONMENTS = sorted(file.parent for file in TERRAFORM.glob("envs/*/main.tf"))
_TOOLS = ROOT / ".venv-deployment"
_STUB = ROOT / "tests/terraform/stub_provider.py"
_ANNOUNCEMENT = re.compile(r"TF_REATTACH_PROVIDERS='(.*)'")
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
    provider: str

    @classmethod
    @contextmanager
    def over(cls, *folders: Path, scratch: Path) -> Iterator[Terraform]:
        """Serve the schema of the types used below the folders, and yield a terraform that finds it."""
        types = {name for folder in folders for name in google_schema.used_types(folder)}
        site_packages = next(_TOOLS.glob("lib/python*/site-packages"))
        schema = scratch / "schema.json"
        google_schema.write_schema(schema, types, site_packages=site_packages, cache=ROOT / ".cache/google-schema")
        # One server for all runs: started anew by each run of each test, it takes a second every time.
        with _served(schema) as provider:
            yield cls(scratch, provider)

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
        settings = self.scratch / "terraformrc"
        # Without any method of installation no registry is asked for a provider.
        settings.write_text("provider_installation {}\n")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.scratch),
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_DATA_DIR": str(self.scratch / "data" / own),
            "TF_REATTACH_PROVIDERS": self.provider,
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "HTTPS_PROXY": _NOWHERE,
            "HTTP_PROXY": _NOWHERE,
        }


@contextmanager
def _served(schema: Path) -> Iterator[str]:
    """Run the stub provider and yield what TF_REATTACH_PROVIDERS has to be."""
    environment = {
        "PATH": os.environ["PATH"],
        "STUB_SCHEMA": str(schema),
        # Its socket; and the library keeps a certificate at home.
        "TMPDIR": str(schema.parent),
        "HOME": str(schema.parent),
        "PYTHONUNBUFFERED": "1",
        "GRPC_VERBOSITY": "ERROR",
    }
    command = ["setpriv", "--pdeathsig", "TERM", str(_TOOLS / "bin/python"), str(_STUB), "--dev"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            announced = (_ANNOUNCEMENT.search(line) for line in server.stdout or ())
            yield next(found[1] for found in announced if found)
        finally:
            server.terminate()
