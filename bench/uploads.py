"""
What looking at a large direct upload costs the web process, against reading it whole.

Against the stand-in for Cloud Storage on this machine: real distances make every request some 20 ms slower.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import django
from PIL import Image

from bench.tables import machine, table
from imagen_site.local.emulators import storage_command, wait_until_answers

if TYPE_CHECKING:
    from collections.abc import Mapping

_PORT, _MEGABYTE = 18_499, 2**20
# Pictures that cannot be packed, each a little less than 100 MB where its format goes so far.
_FILES: Mapping[str, tuple[str, int, Mapping[str, Any]]] = {
    "TIFF": ("TIFF", 5_700, {}),
    "BMP": ("BMP", 5_700, {}),
    "PNG": ("PNG", 5_700, {"compress_level": 0}),
    "JPEG": ("JPEG", 6_500, {"quality": 100}),
    "JPEG, progressive": ("JPEG", 6_500, {"quality": 100, "progressive": True}),
    # Its first partition holds half a megabyte, and noise fills it.
    "WebP": ("WEBP", 3_500, {"quality": 95}),
}


def storage() -> Any:  # noqa: ANN401 - Django must be set up before its class is known
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "imagen_site.settings")
    django.setup()
    from jobs.cloud_storage import BucketStorage

    return BucketStorage(project="bench", bucket="bench", endpoint=f"http://127.0.0.1:{_PORT}")


def look(way: str, path: str, size: int) -> None:
    """Print what looking at an object cost this process, as JSON."""
    from jobs import uploads
    from jobs.cloud_uploads import BucketUploadStore
    from jobs.operations import Limits
    from jobs.ranges import RangedBytes

    bucket = storage()
    store, blob = BucketUploadStore(bucket), bucket.blob(path)
    blob.reload()
    generation = str(blob.generation)

    def read(start: int, end: int) -> bytes:
        return store.read(path, generation=generation, start=start, end=end)

    before, began = _peak(), time.perf_counter()
    far = RangedBytes(read, size)
    uploads.inspect(far if way == "ranges" else far[:], filename="photo", limits=Limits(max_bytes=size))
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "grown": _peak() - before, "fetched": far.fetched}))


def _peak() -> int:
    # Not getrusage: it begins with what the parent had.
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) * 1024


def _cost(way: str, path: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.uploads", way, path, str(size)]
    costs: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return costs


def _row(name: str) -> tuple[str, ...]:
    kind, side, options = _FILES[name]
    file = io.BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(file, kind, **options)
    size = file.tell()
    file.seek(0)
    storage().save(path := f"uploads/{name}", file)
    ranges, whole = _cost("ranges", path, size), _cost("whole", path, size)

    def told(cost: Mapping[str, float]) -> str:
        return f"{cost['seconds']:.2f} s, {cost['grown'] / _MEGABYTE:.0f} MB of memory"

    fetched = f"{ranges['fetched'] / _MEGABYTE:.1f} MB"
    return name, f"{size / _MEGABYTE:.0f} MB", fetched, told(ranges), told(whole)


def main() -> None:
    with TemporaryDirectory() as folder:
        server = subprocess.Popen(
            storage_command(_PORT, folder=Path(folder)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until_answers(_PORT, seconds=10, going=lambda: server.poll() is None)
            storage().client.create_bucket("bench")
            rows = [_row(name) for name in _FILES]
        finally:
            server.kill()
            server.wait()
    print(machine())
    print(table("Looking at a direct upload", [("file", "size", "fetched", "by ranges", "whole"), *rows]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        look(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        main()
