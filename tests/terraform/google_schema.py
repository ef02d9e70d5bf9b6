"""
The schema of Terraform's google provider, out of a package of PyPI, since no registry of providers is asked.

Only the types that terraform/ uses are read: the whole is some hundred megabytes of JavaScript.
"""

from __future__ import annotations

import json
import re
import tarfile
from typing import TYPE_CHECKING

from tests.terraform.provider_source import ProviderSource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PACKAGE = "cdktn_provider_google"
# What the package was made from; its own version says nothing of that.
_PROVIDER = "provider"
_USED = re.compile(r'^\s*(?:resource|mock_resource|override_resource) "google_(\w+)"', re.MULTILINE)
_MEMBER = re.compile(r"package/lib/([^/]+)/(index|index-structs/structs\d+)\.js$")


def used_types(folder: Path) -> set[str]:
    """Return the types of resources below a folder, without `google_`."""
    files = [*folder.rglob("*.tf"), *folder.rglob("*.tftest.hcl")]
    return {name for file in files for name in _USED.findall(file.read_text())}


def write_schema(target: Path, types: Iterable[str], *, site_packages: Path, cache: Path) -> None:
    """Write what the stub provider serves: the provider's own schema and that of each type which exists."""
    archive = next((site_packages / PACKAGE / "_jsii").glob("*.jsii.tgz"))
    folder = cache / archive.name.removesuffix(".jsii.tgz")
    wanted = {_PROVIDER, *types}
    _extract(archive, {name for name in wanted if not (folder / f"{name}.json").exists()}, folder)
    found = {name: json.loads(file.read_text()) for name in wanted if (file := folder / f"{name}.json").exists()}
    provider = found.pop(_PROVIDER)
    schema = {"provider": provider, "resource": {f"google_{name}": block for name, block in found.items()}}
    target.write_text(json.dumps(schema))


def _extract(archive: Path, missing: set[str], folder: Path) -> None:
    if not missing:
        return
    sources: dict[str, str] = {}
    with tarfile.open(archive) as members:
        for member in members:
            found = _MEMBER.match(member.name)
            if found and (name := found[1].replace("-", "_")) in missing:
                content = members.extractfile(member)
                sources[name] = sources.get(name, "") + "\n" + content.read().decode()
    folder.mkdir(parents=True, exist_ok=True)
    for name, code in sources.items():
        unfinished = folder / f".{name}.json"
        unfinished.write_text(json.dumps(ProviderSource(code).block()))
        unfinished.replace(folder / f"{name}.json")
