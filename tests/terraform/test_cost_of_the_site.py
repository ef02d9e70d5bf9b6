"""What the cost model takes for granted of prod (imagen_site/cost/site.py), held to what Terraform deploys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from imagen_site.cost import site
from imagen_site.cost.site import Size
from tests.manifests.quantities import amount
from tests.terraform.environments import applied
from tests.terraform.offline import ENVIRONMENTS

if TYPE_CHECKING:
    from tests.terraform.environments import Environment
    from tests.terraform.offline import Terraform

pytestmark = pytest.mark.deployment

GIB = 2**30
EVERY_MINUTE = "* * * * *"


@pytest.fixture
def deployed(terraform: Terraform) -> Environment:
    """Return the environment that the model is about."""
    [folder] = (folder for folder in ENVIRONMENTS if folder.name == site.ENVIRONMENT)
    return applied(terraform, folder)


@pytest.fixture
def services(deployed: Environment) -> dict[str, dict[str, Any]]:
    """Return what each service of Cloud Run is made from."""
    return {service["name"]: service["template"][0] for service in deployed.of_type("cloud_run_v2_service")}


def size(container: dict[str, Any]) -> Size:
    limits = container["resources"][0]["limits"]
    return Size(amount(limits["cpu"]), amount(limits["memory"]) / GIB)


def called_every_minute(deployed: Environment) -> set[str]:
    """Return the services whose instances the clock keeps from sleeping."""
    clocks = [clock for clock in deployed.of_type("cloud_scheduler_job") if clock["schedule"] == EVERY_MINUTE]
    return {re.match(r"https://([a-z]+)-", clock["http_target"][0]["uri"])[1] for clock in clocks}  # type: ignore[index]


class TestTheCostOfCloudRun:
    def test_is_that_of_each_container_of_each_service(self, services: dict[str, dict[str, Any]]) -> None:
        sizes = {name: tuple(size(each) for each in template["containers"]) for name, template in services.items()}

        assert sizes == site.SERVICES

    def test_is_that_of_one_instance_which_is_always_there(
        self, deployed: Environment, services: dict[str, dict[str, Any]]
    ) -> None:
        called = called_every_minute(deployed)

        least = {
            name: max(template["scaling"][0]["min_instance_count"], int(name in called))
            for name, template in services.items()
        }
        assert least == dict.fromkeys(site.SERVICES, 1)

    def test_is_that_of_a_processor_which_is_paid_between_requests(self, services: dict[str, dict[str, Any]]) -> None:
        lent = [
            (name, container["name"])
            for name, template in services.items()
            for container in template["containers"]
            if container["resources"][0]["cpu_idle"]
        ]

        assert lent == []


class TestTheCostOfTheDatabase:
    def test_is_that_of_its_machine_its_disk_and_its_zones(self, deployed: Environment) -> None:
        [instance] = deployed.of_type("sql_database_instance")
        [settings] = instance["settings"]

        machine = site.DATABASE.machine
        assert settings["tier"] == f"db-custom-{machine.cpus:.0f}-{machine.gib * 1024:.0f}"
        assert settings["disk_size"] == site.DATABASE.disk_gib
        assert settings["availability_type"] == {1: "ZONAL", 2: "REGIONAL"}[site.DATABASE.zones]
        assert (settings["edition"], settings["disk_type"]) == ("ENTERPRISE", "PD_SSD")


class TestTheCostOfRedis:
    def test_is_that_of_its_memory_in_one_zone(self, deployed: Environment) -> None:
        [instance] = deployed.of_type("redis_instance")

        assert (instance["tier"], instance["memory_size_gb"]) == ("BASIC", site.REDIS_GIB)
