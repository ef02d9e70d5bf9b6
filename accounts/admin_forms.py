"""Django's own forms of people, for a person who signs in by e-mail and belongs to an account."""

from typing import Any

from unfold.forms import UserChangeForm, UserCreationForm

from accounts.models import User


class AddPersonForm(UserCreationForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = ("email", "name", "account")
        field_classes: dict[str, Any] = {}


class PersonForm(UserChangeForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = "__all__"
        field_classes: dict[str, Any] = {}
