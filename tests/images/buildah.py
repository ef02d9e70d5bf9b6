"""buildah with a store of its own: images are built and mounted there, and nowhere else on this machine."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a build of changed sources leaves for the next one is two dozen of them.
_MANY_IMAGES = 150


class BuildFailed(Exception):
    """The last lines of the build say why."""


@dataclass(frozen=True)
class Buildah:
    """Images in `store`; their layers lie over each other where the kernel lets them, else each is a whole copy."""

    store: Path
    driver: str

    @classmethod
    def in_folder(cls, store: Path) -> Buildah:
        store.mkdir(parents=True, exist_ok=True)
        layered = cls(store, "overlay")
        try:
            with layered.mounted("scratch"):
                return layered
        except BuildFailed:
            return cls(store, "vfs")

    def __call__(self, *arguments: str, folder: Path | None = None) -> str:
        """Run a command of buildah; returns what it printed. Raises BuildFailed."""
        where = ["--root", str(self.store / "storage"), "--runroot", str(self.store / "run")]
        done = subprocess.run(
            ["buildah", *where, "--storage-driver", self.driver, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BuildFailed(f"buildah {arguments[0]}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout.strip()

    def has(self, image: str) -> bool:
        return bool(self("images", "--quiet", "--filter", f"reference={image}"))

    def forget_old_builds(self) -> None:
        if len(self("images", "--all", "--quiet").splitlines()) > _MANY_IMAGES:
            self("rmi", "--prune")

    def describe(self, image: str) -> dict[str, Any]:
        """Return the image's configuration and history, as a registry would have them."""
        description = json.loads(self("inspect", "--type", "image", image))
        return dict(description["Docker"])

    def megabytes(self, image: str) -> float:
        """Return the size that `docker images` shows: of all layers, uncompressed."""
        (listed,) = json.loads(self("images", "--json", image))
        number, unit = listed["size"].split()
        return float(number) * {"KB": 1e-3, "MB": 1, "GB": 1e3}[unit]

    @contextmanager
    def mounted(self, image: str) -> Iterator[Path]:
        """Lay the files of an image out while the block runs."""
        container = self("from", "--pull-never", image)
        try:
            yield Path(self("mount", container))
        finally:
            self("rm", container)
