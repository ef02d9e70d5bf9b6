"""GET /api/v1/account: who am I, and what can I spend."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.auth import account_of
from billing import services


class AccountApi(APIView):
    # Any key may ask: whoever may spend credits must be able to see whether there are some.
    required_scopes = {"GET": None}

    class Output(serializers.Serializer[None]):
        class Credits(serializers.Serializer[None]):
            available = serializers.IntegerField(min_value=0, help_text="What a new job may cost at most.")
            held = serializers.IntegerField(min_value=0, help_text="Promised to jobs that have not ended.")

        account_id = serializers.UUIDField()
        name = serializers.CharField()
        plan = serializers.CharField()
        credits = Credits()

        class Meta:
            ref_name = "Account"

    @extend_schema(operation_id="account", summary="Your account and its credits", responses=Output)
    def get(self, request: Request) -> Response:
        account = account_of(request)
        credits_ = services.balance(account)
        return Response(
            {
                "account_id": str(account.pk),
                "name": account.name,
                "plan": account.plan,
                "credits": {"available": credits_.available, "held": credits_.held},
            }
        )
