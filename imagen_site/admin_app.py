"""Django's admin, with a site of our own. A module apart: it is read before any model may be."""

from django.contrib.admin.apps import AdminConfig


class OperatorApp(AdminConfig):
    default_site = "imagen_site.admin_site.OperatorSite"
