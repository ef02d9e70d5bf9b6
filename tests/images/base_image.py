"""
What stands for debian:bookworm-slim where no registry is asked: the same packages, by debootstrap.

As Debian's own slim images: without documents and translations, and with the security updates.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.images.buildah import Buildah

NAME = "localhost/debian:bookworm-slim"
# debootstrap and chroot lie where only root looks, and root's PATH does not always say so.
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

_SLIM = """\
force-unsafe-io
path-exclude /usr/share/doc/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
"""
# In memory, in a mount that ends with the script: dpkg waits for the disk after each file, minutes in all.
_SCRIPT = r"""
set -eu
mount -t tmpfs tmpfs "$1"
debootstrap --variant=minbase bookworm "$1/root"
cd "$1/root"
mirror=$(sed -n 's|^deb \([^ ]*[^ /]\)/* .*|\1|p' etc/apt/sources.list)
for from in "$mirror bookworm" "$mirror bookworm-updates" "$mirror-security bookworm-security"; do
    echo "deb $from main"
done > etc/apt/sources.list
printf %s "$3" > etc/dpkg/dpkg.cfg.d/slim
cp /etc/resolv.conf etc/resolv.conf
chroot . apt-get update
chroot . apt-get upgrade --yes
chroot . apt-get clean
rm -rf usr/share/doc/* usr/share/info/* usr/share/locale/* usr/share/man/* var/cache/apt/* var/lib/apt/lists/* var/log/*
tar -cf "$2.partial" .
mv "$2.partial" "$2"
"""


def ensure(buildah: Buildah, cache: Path) -> str:
    """Make the base image unless it is there; return its name."""
    if buildah.has(NAME):
        return NAME
    tar = cache / "debian-bookworm.tar"
    if not tar.exists():
        _bootstrap(tar)
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, str(tar), "/")
    buildah("config", "--cmd", "bash", container)
    buildah("commit", "--quiet", "--rm", container, NAME)
    return NAME


def _bootstrap(tar: Path) -> None:
    folder = tar.with_name("debootstrap")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _SCRIPT, "sh"]
    done = subprocess.run(
        [*command, str(folder), str(tar), _SLIM],
        env={**os.environ, "PATH": PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"debootstrap failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
