import sys
from pathlib import Path

import pytest

from requirements import steps
from requirements.machine import SetUpError
from requirements.steps import run_step

PIP = """
import time
print("Collecting one")
print("Collecting two", flush=True)
time.sleep(0.3)
print("Installing collected packages: one, two", flush=True)
time.sleep(0.3)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


class TestALongStep:
    def test_says_how_far_it_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(steps, "SAY_EVERY_SECONDS", 0.2)

        run_step("site", python(PIP), log=tmp_path / "log", packages=3)

        said = capsys.readouterr().err
        assert "[site] 2 of 3 packages (0 s)" in said
        assert "[site] unpacking 3 packages" in said

    def test_keeps_all_of_it_in_the_log(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run_step("site", python("print('words')"), log=tmp_path / "log")

        assert (tmp_path / "log").read_text() == "words\n"
        assert capsys.readouterr().err == ""

    def test_may_speak_for_itself(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run_step("weights", python("print('u2netp: already there.')"), log=tmp_path / "log", show=True)

        assert capsys.readouterr().err == "[weights] u2netp: already there.\n"


class TestAStepThatFails:
    def test_says_why_in_its_own_words_without_the_address_of_an_index(self, tmp_path: Path) -> None:
        code = "print('ERROR: no way to https://user:secret@index.example/simple'); print('bye'); raise SystemExit(1)"

        with pytest.raises(SetUpError) as failure:
            run_step("site", python(code), log=tmp_path / "log")

        assert "ERROR: no way to (the package index)" in str(failure.value)
        assert "secret" not in str(failure.value)
        assert str(tmp_path / "log") in str(failure.value)

    def test_gives_its_last_line_when_it_names_no_error(self, tmp_path: Path) -> None:
        with pytest.raises(SetUpError, match="site: the disk is full"):
            run_step("site", python("print('the disk is full'); raise SystemExit(1)"), log=tmp_path / "log")

    def test_does_not_repeat_earlier_steps_words(self, tmp_path: Path) -> None:
        run_step("site", python("print('all is well')"), log=tmp_path / "log")

        with pytest.raises(SetUpError, match="failed without a word"):
            run_step("site", python("raise SystemExit(1)"), log=tmp_path / "log")
