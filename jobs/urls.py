"""Pages of jobs; included at the root of the site."""

from django.urls import path

from jobs import views

app_name = "jobs"

urlpatterns = [
    path("", views.home, name="home"),
    path("submit/<slug:operation>/", views.submit, name="submit"),
    path("jobs/", views.job_list, name="list"),
    path("jobs/<uuid:job_id>/", views.detail, name="detail"),
    path("jobs/<uuid:job_id>/thumbnail.jpg", views.thumbnail, name="thumbnail"),
    path("jobs/<uuid:job_id>/again/", views.again, name="again"),
    path("jobs/<uuid:job_id>/cancel/", views.cancel, name="cancel"),
    path("files/<str:signed>", views.file, name="file"),
]
