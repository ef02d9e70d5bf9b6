"""Included at /api/v1/."""

from django.urls import path

from billing.api import AccountApi

app_name = "billing_api"

urlpatterns = [path("account", AccountApi.as_view(), name="account")]
