"""docs/model-server.md and the model server's README name tests, files and variables: these must be there."""

import re

import pytest

from tests.documents import is_there, named_tests
from tests.running_site import ROOT

DOCUMENT = (ROOT / "docs/model-server.md").read_text()
README = (ROOT / "triton_models/README.md").read_text()
TRAPS = [line for line in DOCUMENT.partition("## Triton's traps")[2].splitlines() if line.startswith("| ")][1:]
NAMED_FILES = sorted(set(re.findall(r"`((?:triton_models|tests|requirements|docs)/[\w/.-]+\.\w+)`", DOCUMENT)))


def variables_of_the_code() -> set[str]:
    code = (path for path in (ROOT / "triton_models").rglob("*.py") if "tests" not in path.parts)
    return {name for path in code for name in re.findall(r"""["']((?:IMAGEN|HF)_[A-Z_]+)["']""", path.read_text())}


class TestTheListOfTraps:
    def test_names_a_test_for_each(self) -> None:
        assert len(TRAPS) >= 30
        assert [line for line in TRAPS if "::Test" not in line] == []

    @pytest.mark.parametrize("test", named_tests(DOCUMENT))
    def test_names_tests_that_are_there(self, test: str) -> None:
        assert is_there(test)


class TestThePage:
    @pytest.mark.parametrize("path", NAMED_FILES)
    def test_names_files_that_are_there(self, path: str) -> None:
        assert (ROOT / path).is_file()

    def test_names_only_variables_that_the_code_reads(self) -> None:
        assert set(re.findall(r"\bIMAGEN_[A-Z_]+", DOCUMENT)) <= variables_of_the_code()


class TestTheReadme:
    def test_has_every_variable_that_the_code_reads_and_no_other(self) -> None:
        documented = set(re.findall(r"^\| `((?:IMAGEN|HF)_[A-Z_]+)` \|", README, flags=re.MULTILINE))

        assert documented == variables_of_the_code()
