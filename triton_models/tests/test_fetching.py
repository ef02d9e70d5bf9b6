from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pytest

from triton_models import weights
from triton_models.errors import WeightsNotFetched
from triton_models.tests import hub_stand_in
from triton_models.tests.hub_stand_in import COMMIT, Hub
from triton_models.weights import LockedFile, LockedWeights, Standing
from triton_models.weights.downloads import Downloader
from triton_models.weights.lock import Release, Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NETWORK = bytes(range(256)) * 4000
CONFIG = b'{"layers": 1}'
TOKEN = "hf_secret"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with hub_stand_in.served() as hub:
        hub.files = {"somebody/tiny/unet/net.safetensors": NETWORK, "somebody/tiny/config.json": CONFIG}
        yield hub


@pytest.fixture
def entry() -> LockedWeights:
    files = (file("config.json", CONFIG), file("unet/net.safetensors", NETWORK))
    return LockedWeights("tiny", "MIT", "unet/net.safetensors", Repository("somebody/tiny", COMMIT), files)


def file(path: str, content: bytes) -> LockedFile:
    return LockedFile(path, hashlib.sha256(content).hexdigest(), len(content))


class Fetched(NamedTuple):
    said: list[str]
    pauses: list[float]


def fetch(entry: LockedWeights, hub: Hub, volume: Path, *, meter: object = None, token: str = "") -> Fetched:
    fetched = Fetched([], [])
    downloader = Downloader(environment={"HF_ENDPOINT": hub.address, "HF_TOKEN": token}, pause=fetched.pauses.append)
    weights.fetch([entry], volume, say=fetched.said.append, meter=meter, downloader=downloader)  # type: ignore[arg-type]
    return fetched


def found(volume: Path) -> set[str]:
    return {path.relative_to(volume).as_posix() for path in volume.rglob("*") if path.is_file()}


class AtByte:
    """A meter that does something when that many bytes of the network have come."""

    def __init__(self, number: int, do: Callable[[], None]) -> None:
        self.number, self.do, self.announced = number, do, 0

    def total(self, number: int) -> None:
        self.announced = number

    def file(self, name: str, _size: int) -> Callable[[int], None]:
        return lambda there: self.do() if name.endswith(".safetensors") and there >= self.number else None


def interrupted() -> None:
    raise KeyboardInterrupt


class TestFetch:
    def test_puts_every_file_where_the_lock_says(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        said = fetch(entry, hub, tmp_path).said

        assert found(tmp_path) == {"tiny/config.json", "tiny/unet/net.safetensors"}
        assert (tmp_path / "tiny/unet/net.safetensors").read_bytes() == NETWORK
        assert weights.inspect(entry, tmp_path).standing is Standing.READY
        assert said == [
            "tiny: downloading somebody/tiny at 0123456789 (MIT) ...",
            f"tiny: in {tmp_path}/tiny.",
        ]

    def test_takes_a_release_by_its_address(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        release = replace(entry, source=Release(f"{hub.address}/somebody/tiny/resolve/v1"))

        fetch(release, hub, tmp_path)

        assert weights.problem(release, tmp_path) is None

    def test_asks_for_nothing_that_is_there_and_right(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        fetch(entry, hub, tmp_path)
        hub.requests.clear()

        assert fetch(entry, hub, tmp_path).said == ["tiny: already there."]
        assert hub.requests == []

    def test_replaces_a_wrong_file_and_no_other(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        fetch(entry, hub, tmp_path)
        (tmp_path / "tiny/unet/net.safetensors").write_bytes(NETWORK[:-1] + b"?")
        hub.requests.clear()

        fetch(entry, hub, tmp_path)

        assert len(hub.requests) == 1
        assert weights.problem(entry, tmp_path) is None

    def test_writes_a_file_that_the_lock_brings_along(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        ours = replace(file("model_index.json", b"{}"), text="{}")

        fetch(replace(entry, files=(*entry.files, ours)), hub, tmp_path)

        assert (tmp_path / "tiny/model_index.json").read_text() == "{}"

    def test_announces_what_is_missing(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        meter = AtByte(len(NETWORK) + 1, interrupted)

        fetch(entry, hub, tmp_path, meter=meter)

        assert meter.announced == len(NETWORK) + len(CONFIG)


class TestACutDownload:
    def test_goes_on_where_it_stopped(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        hub.cuts = [len(CONFIG), 300_000, 200_000]

        pauses = fetch(entry, hub, tmp_path).pauses

        assert hub.asked() == ["", "", "bytes=300000-", "bytes=500000-"]
        assert hub.bytes_sent == len(NETWORK) + len(CONFIG)
        assert pauses == [1, 1]
        assert weights.problem(entry, tmp_path) is None

    def test_goes_on_in_the_next_run(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        hub.cuts = [len(CONFIG), 300_000, *[0] * 6]
        with pytest.raises(
            WeightsNotFetched, match=r"127\.0\.0\.1 does not deliver net\.safetensors.*What came is kept"
        ):
            fetch(entry, hub, tmp_path)
        hub.cuts.clear()
        hub.requests.clear()

        fetch(entry, hub, tmp_path)

        assert hub.asked() == ["bytes=300000-"]
        assert found(tmp_path) == {"tiny/config.json", "tiny/unet/net.safetensors"}

    def test_goes_on_after_ctrl_c(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        hub.files["somebody/tiny/unet/net.safetensors"] = larger = NETWORK * 3
        entry = replace(entry, files=(entry.files[0], file("unet/net.safetensors", larger)))
        with pytest.raises(KeyboardInterrupt):
            fetch(entry, hub, tmp_path, meter=AtByte(1_000_000, interrupted))
        assert not (tmp_path / "tiny/unet/net.safetensors").exists()
        hub.requests.clear()

        fetch(entry, hub, tmp_path)

        assert hub.asked() == [f"bytes={1 << 20}-"]
        assert weights.problem(entry, tmp_path) is None

    def test_begins_anew_with_a_host_that_knows_no_ranges(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        hub.ranges, hub.cuts = False, [len(CONFIG), 300_000]

        fetch(entry, hub, tmp_path)

        assert weights.problem(entry, tmp_path) is None

    def test_begins_anew_when_what_was_kept_is_spoilt(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        kept = tmp_path / "tiny/unet" / f".net.safetensors.{entry.weights_sha256[:12]}.part"
        kept.parent.mkdir(parents=True)
        kept.write_bytes(b"\0" * 300_000)

        fetch(entry, hub, tmp_path)

        assert hub.asked() == ["", "bytes=300000-", ""]
        assert weights.problem(entry, tmp_path) is None

    def test_takes_nothing_from_another_revision(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        hub.cuts = [len(CONFIG), 300_000, *[0] * 6]
        with pytest.raises(WeightsNotFetched):
            fetch(entry, hub, tmp_path)
        hub.cuts.clear()
        hub.requests.clear()
        hub.files["somebody/tiny/unet/net.safetensors"] = newer = NETWORK[::-1]
        entry = replace(entry, files=(entry.files[0], file("unet/net.safetensors", newer)))

        fetch(entry, hub, tmp_path)

        assert hub.asked() == [""]
        assert found(tmp_path) == {"tiny/config.json", "tiny/unet/net.safetensors"}


class TestWrongBytes:
    def test_are_refused_and_not_kept(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        hub.files["somebody/tiny/unet/net.safetensors"] = NETWORK[:-1] + b"?"

        with pytest.raises(
            WeightsNotFetched, match=r"net\.safetensors from 127\.0\.0\.1 has the wrong sha256: [0-9a-f]"
        ):
            fetch(entry, hub, tmp_path)

        assert found(tmp_path) == {"tiny/config.json"}

    @pytest.mark.parametrize("size", [100, 2_000_000])
    def test_of_another_number_are_not_even_downloaded(
        self, size: int, entry: LockedWeights, hub: Hub, tmp_path: Path
    ) -> None:
        hub.files["somebody/tiny/unet/net.safetensors"] = bytes(size)

        with pytest.raises(WeightsNotFetched, match=f"has {size} bytes at 127.0.0.1 instead of {len(NETWORK)}"):
            fetch(entry, hub, tmp_path)

        assert found(tmp_path) == {"tiny/config.json"}


class TestTheHub:
    @pytest.mark.parametrize(("code", "sentence"), [(403, "set HF_TOKEN"), (404, "is gone"), (400, "answers with 400")])
    def test_that_refuses_is_named(
        self, code: int, sentence: str, entry: LockedWeights, hub: Hub, tmp_path: Path
    ) -> None:
        hub.codes["somebody/tiny/config.json"] = code

        with pytest.raises(WeightsNotFetched, match=sentence):
            fetch(entry, hub, tmp_path)

        assert len(hub.requests) == 1

    def test_that_is_busy_is_asked_again(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        hub.codes["somebody/tiny/config.json"] = 503

        with pytest.raises(WeightsNotFetched, match=r"does not deliver config\.json: it answered with 503"):
            fetch(entry, hub, tmp_path)

        assert len(hub.requests) == 5

    def test_gets_the_token(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        fetch(entry, hub, tmp_path, token=TOKEN)

        assert {request.authorization for request in hub.requests} == {f"Bearer {TOKEN}"}

    def test_keeps_the_token_when_it_sends_us_elsewhere(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        with hub_stand_in.served() as store:
            store.files, hub.elsewhere = hub.files, store.address

            fetch(entry, hub, tmp_path, token=TOKEN)

        assert {request.authorization for request in hub.requests} == {f"Bearer {TOKEN}"}
        assert [request.authorization for request in store.requests] == ["", ""]
        assert weights.problem(entry, tmp_path) is None

    def test_is_the_only_one_to_get_the_token(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        with hub_stand_in.served() as other:
            other.files = hub.files
            release = replace(entry, source=Release(f"{other.address}/somebody/tiny/resolve/v1"))

            fetch(release, hub, tmp_path, token=TOKEN)

        assert [request.authorization for request in other.requests] == ["", ""]

    def test_gets_no_token_unencrypted(self) -> None:
        downloader = Downloader(environment={"HF_ENDPOINT": "http://mirror.example", "HF_TOKEN": TOKEN})
        with pytest.MonkeyPatch.context() as patch:
            sent: list[object] = []
            patch.setattr(downloader._opener, "open", lambda request, timeout: sent.append(request) or interrupted())

            with pytest.raises(KeyboardInterrupt):
                downloader.content("http://mirror.example/somebody/tiny/resolve/main/config.json")

        assert sent[0].get_header("Authorization") is None  # type: ignore[attr-defined]


class TestTwoFetches:
    def test_into_one_volume_download_once(self, entry: LockedWeights, hub: Hub, tmp_path: Path) -> None:
        hub.gate.clear()
        waiting = threading.Event()
        downloader = Downloader(environment={"HF_ENDPOINT": hub.address})

        def say(line: str) -> None:
            if "another fetch is at work" in line:
                waiting.set()

        both = [
            threading.Thread(target=partial(weights.fetch, [entry], tmp_path, say=say, downloader=downloader))
            for _ in range(2)
        ]
        for thread in both:
            thread.start()
        assert waiting.wait(30)
        hub.gate.set()
        for thread in both:
            thread.join()

        assert len(hub.requests) == 2
        assert weights.problem(entry, tmp_path) is None


class TestADiskThatIsTooSmall:
    def test_is_named_before_anything_is_asked_for(
        self, entry: LockedWeights, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage(tmp_path)._replace(free=50_000_000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

        with pytest.raises(WeightsNotFetched, match="has 50 MB free, and 101 MB are needed"):
            fetch(entry, hub, tmp_path / "new/models")

        assert hub.requests == []

    def test_that_fills_up_meanwhile_keeps_what_came(
        self, entry: LockedWeights, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(WeightsNotFetched, match=r"The disk of .* is full\. What came of tiny is kept"):
                fetch(entry, hub, tmp_path)

        fetch(entry, hub, tmp_path)

        assert len(hub.requests) == 2
