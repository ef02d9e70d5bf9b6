"""The images, built once for the session, and the site that runs in them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.cloud_site import Addresses
from tests.images import base_image
from tests.images.build import Images, build
from tests.images.contained_site import ContainedSite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.emulator_fixtures import Emulator
    from tests.postgres_fixtures import PostgresServer
    from triton_models.local_triton import LocalTriton

PROGRAMS = ("buildah", "crun", "debootstrap")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    missing = [program for program in PROGRAMS if not shutil.which(program, path=base_image.PATH)]
    if missing:
        # On a machine without them; on CI tests/no_skips.py makes a failure of this.
        pytest.skip(f"no images here: {', '.join(missing)} missing")
    if os.geteuid():
        # For a person who is not root there is no way; on CI tests/no_skips.py makes a failure of this too.
        pytest.skip("no images here: only root may build and run them")
    return build(tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="session")
def contained_site(
    images: Images,
    triton_server: LocalTriton,
    pubsub_server: Emulator,
    firestore_server: Emulator,
    storage_server: Emulator,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ContainedSite]:
    postgres_server.create_database("contained")
    addresses = Addresses(
        pubsub=pubsub_server.host,
        firestore=firestore_server.host,
        storage=storage_server.url,
        database=postgres_server.cluster.url_of("contained"),
    )
    folder = tmp_path_factory.mktemp("contained")
    with ContainedSite(var_dir=folder, triton_url=triton_server.grpc_url, addresses=addresses, images=images) as site:
        yield site
