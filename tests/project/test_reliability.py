"""docs/reliability.md names the test that proves each promise: what it names must be there."""

import re

import pytest

from tests.documents import is_there, named_tests
from tests.running_site import ROOT

DOCUMENT = (ROOT / "docs/reliability.md").read_text()
NAMED_TESTS = named_tests(DOCUMENT)
NAMED_FILES = sorted(set(re.findall(r"`([\w/]+\.(?:py|tf|md))`", DOCUMENT)))


class TestTheReliabilityDocument:
    def test_names_a_test_for_each_promise(self) -> None:
        promises = re.findall(r"^### .*?(?=^##|\Z)", DOCUMENT, flags=re.MULTILINE | re.DOTALL)

        assert len(promises) >= 9
        assert [text.splitlines()[0] for text in promises if "::Test" not in text] == []

    @pytest.mark.parametrize("test", NAMED_TESTS)
    def test_names_tests_that_are_there(self, test: str) -> None:
        assert is_there(test)

    @pytest.mark.parametrize("path", NAMED_FILES)
    def test_names_files_that_are_there(self, path: str) -> None:
        assert (ROOT / path).is_file()
