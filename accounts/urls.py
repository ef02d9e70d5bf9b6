"""Pages of people; included at the root of the site."""

from django.urls import path

from accounts import views

app_name = "accounts"

urlpatterns = [
    path("accounts/login/", views.SignInView.as_view(), name="login"),
    path("accounts/logout/", views.SignOutView.as_view(), name="logout"),
    path("account/", views.keys, name="keys"),
    path("account/keys/<uuid:key_id>/revoke/", views.revoke_key, name="revoke_key"),
]
