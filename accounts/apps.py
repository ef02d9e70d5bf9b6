from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # For its effect: drf-spectacular knows only the extensions that were imported.
        import_module("accounts.schema")
