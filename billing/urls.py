"""Pages; included at the root of the site."""

from django.urls import path

from billing import views

app_name = "billing"

urlpatterns = [path("account/credits/", views.credit_page, name="credits")]
