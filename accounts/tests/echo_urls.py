"""A small API that says who asked; the doors are under test, not what is behind them."""

from django.urls import path
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from accounts.auth import ApiKeyAuthentication, HasScope, SessionAuthentication, account_of


class EchoApi(APIView):
    authentication_classes = [ApiKeyAuthentication, SessionAuthentication]
    permission_classes = [IsAuthenticated, HasScope]
    renderer_classes = [JSONRenderer]
    required_scopes: dict[str, str | None] = {"GET": "jobs:read", "POST": "jobs:write", "PUT": None}

    def get_exception_handler(self):  # noqa: ANN201
        return exception_handler

    def get(self, request: Request) -> Response:
        return Response({"account": str(account_of(request).pk), "by_key": request.auth is not None})

    def post(self, request: Request) -> Response:
        return self.get(request)

    def put(self, request: Request) -> Response:
        return self.get(request)

    def delete(self, request: Request) -> Response:
        return self.get(request)


urlpatterns = [path("echo", EchoApi.as_view())]
