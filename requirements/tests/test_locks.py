"""What the locks of the model server must not name."""

import re
from pathlib import Path

import pytest

from requirements.environments import ROOT

LOCKS = sorted((ROOT / "requirements").glob("models-*.lock"))


def names(lock: Path) -> dict[str, str]:
    """The packages that are installed on Linux, with their versions."""
    found = re.findall(r"^([\w.-]+)==(\S+)(?: ; (.*?))?(?: \\)?$", lock.read_text(), flags=re.MULTILINE)
    return {name: version for name, version, marker in found if "sys_platform == 'never'" not in marker}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
class TestALockOfTheModelServer:
    def test_names_neither_torch_nor_what_drags_another_build_of_it_in(self, lock: Path) -> None:
        forbidden = re.compile(r"torch|triton|nvidia-|spandrel")

        assert [name for name in names(lock) if forbidden.match(name)] == []

    def test_has_the_numpy_that_the_python_backend_can_read(self, lock: Path) -> None:
        assert names(lock)["numpy"].startswith("1.26.")
