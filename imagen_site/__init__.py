"""Wires the site. The Celery app is made here, so that every process that loads Django can publish and find tasks."""

from imagen_site.celery import app as celery_app

__all__ = ["celery_app"]
