"""
Containers by crun, held as tightly as the manifests hold them: nobody's user, a read-only root, no capability.

They have this machine's network, so that what stands in for the cloud is at 127.0.0.1 for them too.
"""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.running_site import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.images.buildah import Buildah

_TMPFS = ["nosuid", "nodev", "mode=1777", "size=256m"]
_MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": _TMPFS},  # noqa: S108
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": _TMPFS},  # noqa: S108
]
# crun knows the old control groups and the new ones, and gives up where a machine has both. It needs neither here.
_CRUN = ("unshare", "--mount", "--propagation", "private", "sh", "-c")
_WITHOUT_CONTROL_GROUPS = 'umount -l /sys/fs/cgroup/unified 2>/dev/null; exec "$0" --cgroup-manager=disabled "$@"'

_names = count(1)


@dataclass
class Container:
    """A container that runs or has ended; its output goes to a file."""

    process: subprocess.Popen[bytes]
    name: str
    folder: Path
    work_folder: str

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The first process of the container, as this machine numbers it."""
        return int(self._state()["pid"])

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def wait(self, seconds: float = 30) -> int:
        """Wait for its end; returns the exit code."""
        return self.process.wait(seconds)

    def stop(self, seconds: float = 30) -> float:
        """SIGTERM, as a container's host sends it; returns the seconds until it had ended."""
        began = time.monotonic()
        self._crun("kill", self.name, "TERM")
        self.process.wait(seconds)
        return time.monotonic() - began

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the first process, as a probe is run."""
        return self._crun("exec", "--cwd", self.work_folder, self.name, *command)

    def remove(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._crun("kill", self.name, "KILL")
            self.process.wait(10)
        self._crun("delete", "--force", self.name)

    def _state(self) -> dict[str, Any]:
        return dict(json.loads(self._crun("state", self.name).stdout))

    def _crun(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*_CRUN, _WITHOUT_CONTROL_GROUPS, "crun", "--root", str(self.folder / "state"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def running(
    buildah: Buildah, image: str, folder: Path, environment: Mapping[str, str], *command: str
) -> Iterator[Container]:
    """Start what the image starts, or another command, until the block ends."""
    with buildah.mounted(image) as root:
        container = start(root, buildah.describe(image)["config"], folder, environment, command)
        try:
            yield container
        finally:
            container.remove()


def start(
    root: Path, image: Mapping[str, Any], folder: Path, environment: Mapping[str, str], command: Sequence[str]
) -> Container:
    """Start a container of files that are laid out at `root` and of the configuration of their image."""
    name = f"imagen-{next(_names)}"
    bundle = folder / name
    bundle.mkdir(parents=True)
    told = {**dict(variable.split("=", 1) for variable in image["Env"]), **environment}
    specification = _specification(root, image, told=told, command=command or image["Cmd"])
    (bundle / "config.json").write_text(json.dumps(specification))
    run = ["crun", "--root", str(bundle / "state"), "run", "--bundle", str(bundle), name]
    with (bundle / "output").open("wb") as output:
        # From the main thread: the kernel would end it with any other thread that started it.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *_CRUN, _WITHOUT_CONTROL_GROUPS, *run],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Container(process, name, bundle, image["WorkingDir"])


def _specification(
    root: Path, image: Mapping[str, Any], *, told: Mapping[str, str], command: Sequence[str]
) -> dict[str, Any]:
    """Return what the runtime is told (the OCI runtime specification)."""
    uid, gid = (int(number) for number in image["User"].split(":"))
    return {
        "ociVersion": "1.0.0",
        "process": {
            "user": {"uid": uid, "gid": gid},
            # With its runtime gone, so that nothing stays behind a test run that was killed.
            "args": ["setpriv", "--pdeathsig", "KILL", *command],
            "env": [f"{name}={value}" for name, value in told.items()],
            "cwd": image["WorkingDir"],
            "noNewPrivileges": True,
            "capabilities": {},
        },
        "root": {"path": str(root), "readonly": True},
        "mounts": _MOUNTS,
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
    }


def wait_for(container: Container, condition: Callable[[], object], *, what: str, seconds: float = 60) -> None:
    """Wait until something is so; fail at once, with its output, when the container ends meanwhile."""

    def settled() -> bool:
        return bool(condition()) or not container.runs

    wait_until(settled, seconds=seconds, what=what)
    if not container.runs:
        raise RuntimeError(f"The container ended before {what}:\n{container.output[-3000:]}")
