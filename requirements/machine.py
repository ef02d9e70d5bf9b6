"""
What this machine offers for setting up: a fitting Python, and for Triton a fitting Linux.

Only the standard library of Python 3.8 or newer, since it runs before anything is installed.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass

SUPPORTED = ((3, 11), (3, 12))
CANDIDATES = ("python3.11", "python3.12", "python3")
OLDEST_GLIBC = (2, 35)

_OWN_TRITON = "Set TRITON_URL=host:port (gRPC) to use a Triton that you run yourself; nothing is then started here."
# Run by the interpreter in question; libpython is what Triton's Python backend is linked against.
_PROBE = """
import ctypes, importlib.util, json, os, sys, sysconfig
library = "libpython%d.%d.so.1.0" % sys.version_info[:2]
found = os.path.exists(os.path.join(sysconfig.get_config_var("LIBDIR") or "", library))
if not found:
    try:
        ctypes.CDLL(library)
        found = True
    except OSError:
        pass
print(json.dumps({
    "path": sys.executable,
    "version": list(sys.version_info[:2]),
    "has_venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
    "has_libpython": found,
}))
"""


class SetUpError(Exception):
    """Setting up cannot go on; the message is a sentence that says why and what to do."""


@dataclass(frozen=True)
class Python:
    """An interpreter that answered."""

    path: str
    version: tuple[int, int]
    has_venv: bool
    has_libpython: bool

    @property
    def name(self) -> str:
        return "{}.{}".format(*self.version)


def choose_python(wanted: str | None, *, for_triton: bool) -> Python:
    """
    Return the interpreter named `wanted`, or else the first fitting one of the PATH.

    Raises SetUpError when there is none, or when the one there is lacks a part that its distribution packs apart.
    """
    found = [python for python in map(probe, [wanted] if wanted else CANDIDATES) if python]
    fitting = [python for python in found if python.version in SUPPORTED]
    if not fitting:
        raise SetUpError(_no_python(wanted, found))
    problems = [_missing_part(python, for_triton=for_triton) for python in fitting]
    for python, problem in zip(fitting, problems):
        if problem is None:
            return python
    raise SetUpError(problems[0] or "")


def probe(command: str) -> Python | None:
    """Ask an interpreter about itself; None when there is no such program or it does not run."""
    path = shutil.which(command)
    if path is None:
        return None
    answer = subprocess.run(
        [path, "-c", _PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, env=clean_environment()
    )
    if answer.returncode:
        # A pyenv shim without its version behind it, or Python 2.
        return None
    facts = json.loads(answer.stdout.decode())
    return Python(**{**facts, "version": tuple(facts["version"])})


def clean_environment() -> dict[str, str]:
    """Return the environment without what would mix another Python's packages into ours."""
    drop = {"PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_HASHES", "PIP_NO_DEPS"}
    return {name: value for name, value in os.environ.items() if name not in drop}


def check_for_triton() -> None:
    """Raise SetUpError where the binaries of the Triton Inference Server cannot run."""
    if sys.platform != "linux" or platform.machine() not in {"x86_64", "AMD64"}:
        raise SetUpError(
            f"The model server (Triton) runs on x86-64 Linux only, and this is {sys.platform} on "
            f"{platform.machine()}. {_OWN_TRITON}"
        )
    library, version = platform.libc_ver()
    if library != "glibc" or _numbers(version) < OLDEST_GLIBC:
        raise SetUpError(
            f"The model server (Triton) needs glibc {_dotted(OLDEST_GLIBC)} or newer, and this machine has "
            f"{library or 'another C library'} {version}. {_OWN_TRITON}"
        )


def _no_python(wanted: str | None, found: list[Python]) -> str:
    needed = " or ".join(map(_dotted, SUPPORTED))
    if wanted:
        what = f"is Python {found[0].name}" if found else "does not run"
        return f"Imagen needs Python {needed}, and PYTHON={wanted} {what}."
    seen = ", ".join(sorted({python.name for python in found})) or "none"
    return f"Imagen needs Python {needed}; found on the PATH: {seen}. Name another one with PYTHON=/path/to/python3.11."


def _missing_part(python: Python, *, for_triton: bool) -> str | None:
    if not python.has_venv:
        package = f"python{python.name}-venv"
        return f"{python.path} has no venv module. On Debian and Ubuntu: apt install {package}"
    if for_triton and not python.has_libpython:
        return (
            f"{python.path} has no shared library, which the model server (Triton) needs. "
            f"On Debian and Ubuntu: apt install libpython{python.name}. {_OWN_TRITON}"
        )
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _dotted(version: tuple[int, int]) -> str:
    return "{}.{}".format(*version)
