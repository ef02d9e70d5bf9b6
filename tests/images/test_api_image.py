"""The image `api` at work: the site, the webhooks, and what it says when it cannot start."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.images.containers import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.images.build import Images
    from tests.images.contained_site import ContainedSite
    from tests.images.containers import Container

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(600)]

# What Cloud Run gives a container after SIGTERM.
CLOUD_RUN_SECONDS = 10


@pytest.fixture(scope="module")
def api(contained_site: ContainedSite) -> Iterator[Container]:
    container = contained_site.api()
    yield container
    container.remove()


@pytest.fixture(scope="module")
def webhooks(contained_site: ContainedSite) -> Iterator[Container]:
    container = contained_site.webhooks()
    yield container
    container.remove()


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, ""


class TestTheSite:
    def test_serves_its_page_with_every_file_that_it_names(self, api: Container, contained_site: ContainedSite) -> None:
        status, page = get(f"{contained_site.url}/")

        files = re.findall(r'(?:src|href)="(/static/[^"#]+)', page)
        assert status == 200
        assert len(files) > 3
        assert {get(contained_site.url + file)[0] for file in files} == {200}

    def test_documents_its_api(self, api: Container, contained_site: ContainedSite) -> None:
        assert get(f"{contained_site.url}/api/v1/docs")[0] == 200
        assert get(f"{contained_site.url}/api/v1/openapi.json")[0] == 200

    def test_has_a_database_that_the_image_has_migrated(self, api: Container, contained_site: ContainedSite) -> None:
        assert '"database": true' in get(f"{contained_site.url}/readyz")[1]

    def test_is_well_by_the_images_own_health_check(
        self, api: Container, contained_site: ContainedSite, images: Images
    ) -> None:
        check = images.buildah.describe(images.api)["config"]["Healthcheck"]["Test"]

        assert check[0] == "CMD"
        assert api.execute(*check[1:]).returncode == 0

    def test_may_do_nothing_but_its_work(self, api: Container) -> None:
        facts = dict(line.split(":\t", 1) for line in Path(f"/proc/{api.pid}/status").read_text().splitlines())

        assert facts["Uid"].split() == ["10001"] * 4
        assert {int(facts[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {0}
        assert facts["NoNewPrivs"] == "1"

    def test_can_write_to_tmp_and_nowhere_else(self, api: Container) -> None:
        writes = "import pathlib, sys; pathlib.Path(sys.argv[1], 'new').write_text('x')"

        assert api.execute("python", "-c", writes, "/tmp").returncode == 0  # noqa: S108
        # Anybody could, if the file system were not read-only.
        assert "Read-only file system" in api.execute("python", "-c", writes, "/var/tmp").stderr  # noqa: S108
        assert api.execute("python", "-c", writes, "/opt/imagen/var").returncode == 1

    def test_ends_cleanly_when_it_is_stopped(self, contained_site: ContainedSite) -> None:
        # After the others, which the module's own container serves: they listen at the same port.
        container = contained_site.webhooks()

        container.stop(seconds=CLOUD_RUN_SECONDS)

        assert "Finished server process" in container.output or container.wait() == 0


class TestTheWebhooks:
    def test_answer_their_probe(self, webhooks: Container, contained_site: ContainedSite) -> None:
        assert get(f"{contained_site.webhooks_url}/livez") == (200, "ok")

    def test_have_no_page_and_no_api(self, webhooks: Container, contained_site: ContainedSite) -> None:
        assert get(f"{contained_site.webhooks_url}/")[0] == 404
        assert get(f"{contained_site.webhooks_url}/api/v1/jobs")[0] == 404


class TestAStart:
    def test_without_any_setting_names_every_one(self, images: Images, tmp_path: Path) -> None:
        with running(images.buildah, images.api, tmp_path, {}) as container:
            assert container.wait() == 1

            for name in (
                "SECRET_KEY",
                "SITE_URL",
                "ALLOWED_HOSTS",
                "DATABASE_URL",
                "GOOGLE_CLOUD_PROJECT",
                "GCS_BUCKET",
            ):
                assert f"{name} is not set" in container.output
            assert "Traceback" not in container.output

    def test_of_the_webhooks_asks_for_whose_pushes_they_take(self, images: Images, tmp_path: Path) -> None:
        with running(images.buildah, images.api, tmp_path, {"IMAGEN_SERVICE": "webhooks"}) as container:
            assert container.wait() == 1

            assert "PUSH_AUDIENCE is not set" in container.output
            assert "PUSH_SERVICE_ACCOUNT is not set" in container.output

    def test_with_a_wrong_setting_names_it(self, images: Images, tmp_path: Path) -> None:
        with running(images.buildah, images.api, tmp_path, {"DATABASE_URL": "nonsense"}) as container:
            assert container.wait() == 1

            assert "DATABASE_URL: is not a database URL" in container.output

    def test_of_the_migration_names_the_database(self, images: Images, tmp_path: Path) -> None:
        command = ("python", "manage.py", "migrate")
        with running(images.buildah, images.api, tmp_path, {}, *command) as container:
            assert container.wait() == 1

            assert "DATABASE_URL is not set" in container.output
