"""Make the demo account, once, and var/demo.json with its address, sign-in and API key."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from imagen_site import demo


class Command(BaseCommand):
    help = __doc__

    def handle(self, **options: Any) -> None:  # noqa: ANN401 - Django passes its own options too
        config = settings.IMAGEN
        self.stdout.write(demo.ensure(config.var_dir / "demo.json", url=config.site_url, now=timezone.now()))
