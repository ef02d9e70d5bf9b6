"""Where packages come from on this machine, as a build is told it: a secret pip.conf, a certificate, local folders."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOURCES = (
    "index-url",
    "extra-index-url",
    "find-links",
    "trusted-host",
    "proxy",
    "no-index",
    "default-timeout",
    "retries",
)
_MOUNT = "/run/packages"
_SECRETS = "/run/secrets"


@dataclass(frozen=True)
class PipSettings:
    """`arguments` of buildah, and the `addresses` that must not be found in an image."""

    arguments: tuple[str, ...]
    addresses: tuple[str, ...]


def write(folder: Path) -> PipSettings:
    """Write the secrets of a build into the folder."""
    told = _told()
    addresses = tuple(word for name in _SOURCES[:3] for word in told.get(name, "").split())
    arguments = ["--secret", f"id=pip.conf,src={folder / 'pip.conf'}"]
    if "cert" in told:
        arguments += ["--secret", f"id=ca.crt,src={told['cert']}"]
    lines = ["[global]", *([f"cert = {_SECRETS}/ca.crt"] if "cert" in told else [])]
    for name in _SOURCES:
        words = told.get(name, "").split()
        lines += [f"{name} = {' '.join(map(_inside, words))}"] if words else []
        arguments += [option for word in words if (local := _local(word)) for option in _volume(local)]
    (folder / "pip.conf").write_text("\n".join(lines) + "\n")
    return PipSettings(tuple(arguments), addresses)


def _told() -> Mapping[str, str]:
    """Return pip's settings by their names; those of the environment come last and win."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    pairs = [line.partition("=") for line in listed if "=" in line]
    # A line is a section or ":env:", a dot, a name, and its value as Python would write it.
    return {name.partition(".")[2]: str(ast.literal_eval(value)) for name, _, value in sorted(pairs, key=_last_wins)}


def _last_wins(pair: tuple[str, str, str]) -> bool:
    return pair[0].startswith(":env:")


def _local(word: str) -> Path | None:
    """Return the folder of this machine that an address means; a simple index links to what lies beside it."""
    path = Path(word.removeprefix("file://"))
    if not path.is_absolute() or not path.exists():
        return None
    return path.parent if path.name == "simple" else path


def _inside(word: str) -> str:
    """Return the address as it is in the build; the folder's own name would stay in the image as a mount point."""
    local = _local(word)
    if local is None:
        return word
    return word.replace(str(local), _mount_point(local))


def _mount_point(local: Path) -> str:
    return f"{_MOUNT}/{local.name}"


def _volume(local: Path) -> tuple[str, str]:
    return ("--volume", f"{local}:{_mount_point(local)}:ro")
