"""Pages of jobs; included at the root of the site."""

from django.urls import path

from jobs import views

app_name = "jobs"

urlpatterns = [
    path("", views.home, name="home"),
    path("files/<str:signed>", views.file, name="file"),
]
