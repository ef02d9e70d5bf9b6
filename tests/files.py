"""Where tests keep files: static ones are served as they lie in the tree, pictures go to a folder of the run's own."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import override_settings


@pytest.fixture(scope="session", autouse=True)
def _files_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "static").mkdir()
    pictures = settings.STORAGES["default"]
    storages = {
        "default": {**pictures, "OPTIONS": {**pictures["OPTIONS"], "location": folder / "media"}},
        # The site's own refuses to name a file that `collectstatic` has not seen.
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    with override_settings(STORAGES=storages, STATIC_ROOT=folder / "static"):
        yield
