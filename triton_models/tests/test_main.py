from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from triton_models import engines
from triton_models.__main__ import main
from triton_models.engines import OPERATIONS, EngineSpec
from triton_models.pipeline import Pipeline

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def photo(tmp_path: Path, small_photo: Image.Image) -> Path:
    small_photo.save(tmp_path / "in.jpg")
    return tmp_path / "in.jpg"


def shell(volume: Path, *words: object) -> int:
    return main(["--volume", str(volume), *map(str, words)])


class TestRun:
    @pytest.mark.parametrize(("suffix", "format_"), [(".png", "PNG"), (".JPG", "JPEG"), (".webp", "WEBP")])
    def test_writes_the_format_of_the_suffix(self, suffix: str, format_: str, volume: Path, photo: Path) -> None:
        target = photo.with_name(f"out{suffix}")

        assert shell(volume, "run", "upscale", photo, target, "--scale", 2) == 0

        with Image.open(target) as made:
            assert (made.format, made.size) == (format_, (192, 128))

    def test_shows_progress_and_notes_on_stderr(
        self, volume: Path, photo: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell(volume, "run", "upscale", photo, photo.with_name("out.png"), "--prompt", "a sharper cat")

        printed = capsys.readouterr()
        assert "] 100%" in printed.err
        assert "Note: The prompt was not used" in printed.err
        assert printed.out.startswith(f"{photo.with_name('out.png')}: 384 x 256 png")

    def test_prints_what_was_done_as_json(self, volume: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
        shell(volume, "run", "background_remove", photo, photo.with_name("out.png"), "--bg-color", "teal", "--json")

        info = json.loads(capsys.readouterr().out)
        assert info["parameters"]["bg_color"] == "#008080"

    @pytest.mark.parametrize(
        ("words", "code", "sentence"),
        [
            (("in.jpg", "out.gif"), 2, "suffix '.gif'"),
            (("in.jpg", "out.png", "--scale", "3"), 2, "scale must be one of 2, 4, not '3'."),
            (("in.jpg", "out.png", "--engine", "huge"), 2, "no engine 'huge'"),
            (("none.jpg", "out.png"), 1, "none.jpg could not be read or written: No such file"),
            (("notes.jpg", "out.png"), 1, "not an image we can read"),
            (("in.jpg", "no/such/folder/out.png"), 1, "no/such/folder could not be read or written: No such file"),
        ],
    )
    def test_says_in_one_sentence_what_went_wrong(
        self,
        words: tuple[str, ...],
        code: int,
        sentence: str,
        volume: Path,
        photo: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(photo.parent)
        (photo.parent / "notes.jpg").write_text("not a picture")

        assert shell(volume, "run", "upscale", *words) == code

        assert sentence in capsys.readouterr().err.splitlines()[-1]
        assert sorted(path.name for path in photo.parent.iterdir()) == ["in.jpg", "notes.jpg"]

    @pytest.mark.parametrize(("name", "value"), [("IMAGEN_DEVICE", "gpu"), ("IMAGEN_PRECISION", "bf16")])
    def test_refuses_a_device_that_is_none_though_a_light_engine_does_not_care(
        self,
        name: str,
        value: str,
        volume: Path,
        photo: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv(name, value)

        assert shell(volume, "run", "upscale", photo, photo.with_name("out.png")) == 3
        assert f"{name} must be one of" in capsys.readouterr().err

    def test_says_that_weights_are_missing(
        self, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert shell(tmp_path, "run", "upscale", photo, tmp_path / "out.png") == 3
        assert f"python -m triton_models --volume {tmp_path} fetch --engine" in capsys.readouterr().err

    def test_looks_for_the_folder_of_the_result_before_the_work(
        self, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # Without weights there is no work to be done.
        assert shell(tmp_path, "run", "upscale", photo, tmp_path / "nodir/o.png") == 1
        assert (
            capsys.readouterr().err
            == f"{tmp_path / 'nodir'} could not be read or written: No such file or directory.\n"
        )

    def test_stops_at_ctrl_c_without_a_half_written_file(
        self, volume: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_arguments: object, **_named: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Pipeline, "run", interrupted)

        assert shell(volume, "run", "upscale", photo, photo.with_name("out.png")) == 130
        assert not photo.with_name("out.png").exists()


class TestEngines:
    def test_are_listed_with_what_keeps_them_from_use(
        self, volume: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert shell(volume, "engines") == 0
        assert capsys.readouterr().out.count("ready") >= 2

        assert shell(tmp_path, "engines") == 0
        assert "u2netp.onnx is missing" in capsys.readouterr().out


class TestAnEngineWhoseLibraryIsNotInstalled:
    @pytest.fixture
    def light_installation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        row = OPERATIONS["style_comic"]
        main = EngineSpec("painter", "no_such_library.engine", libraries=("no_such_library",))
        monkeypatch.setitem(engines.OPERATIONS, "style_comic", replace(row, engines=(main, row.light)))

    @pytest.mark.usefixtures("light_installation")
    def test_is_not_called_ready(self, volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert shell(volume, "engines") == 0

        lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        assert "style_comic painter main - library missing" in lines
        assert (
            "The engine painter needs no_such_library, which is not installed here; `make models` installs it." in lines
        )

    @pytest.mark.usefixtures("light_installation")
    @pytest.mark.parametrize(
        ("engine", "code", "sentence"),
        [("painter", 3, "needs no_such_library"), ("nosuch", 2, "no engine 'nosuch'"), ("light", 0, "100%")],
    )
    def test_is_spoken_of_only_when_it_is_asked_for(
        self, engine: str, code: int, sentence: str, volume: Path, photo: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert shell(volume, "run", "style_comic", photo, photo.with_name("out.png"), "--engine", engine) == code

        assert sentence in (said := capsys.readouterr().err)
        assert said.count("no_such_library") == (engine == "painter")


class TestFetch:
    def test_is_done_at_once_when_everything_is_there(self, volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert shell(volume, "fetch") == 0
        assert "u2netp: already there." in capsys.readouterr().out
