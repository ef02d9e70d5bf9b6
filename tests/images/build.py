"""The site's two images, built from this checkout as docker/Dockerfile says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.images import base_image, pip_settings
from tests.images.buildah import Buildah
from tests.running_site import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# Written into the secret of the build; found in an image, it says that secrets stay there.
MARK = "known-to-the-build-alone"
# The same for every build: buildah 1.28 takes a layer from its cache although an argument has changed.
REVISION = "of-the-tests"


@dataclass(frozen=True)
class Images:
    """The names of the images in buildah's store, and what must be found nowhere in them."""

    buildah: Buildah
    api: str
    worker: str
    secrets: tuple[str, ...]


def build(secrets: Path) -> Images:
    """Build both images, as far as they are not built already; `secrets` is a folder for what only the build sees."""
    cache = ROOT / ".cache/images"
    buildah = Buildah.in_folder(cache)
    buildah.forget_old_builds()
    base = base_image.ensure(buildah, cache)
    settings = pip_settings.write(secrets)
    with (secrets / "pip.conf").open("a") as file:
        file.write(f"# {MARK}\n")
    for target in ("api", "worker"):
        buildah(
            "bud",
            "--isolation=chroot",
            # The other format has no HEALTHCHECK.
            "--format=docker",
            "--layers",
            "--file=docker/Dockerfile",
            f"--target={target}",
            f"--tag={_name(target)}",
            f"--build-arg=DEBIAN={base}",
            f"--build-arg=REVISION={REVISION}",
            *settings.arguments,
            ".",
            folder=ROOT,
        )
    return Images(buildah, _name("api"), _name("worker"), (MARK, *settings.addresses))


def _name(target: str) -> str:
    return f"localhost/imagen-{target}"
