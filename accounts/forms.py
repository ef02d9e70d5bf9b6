from django import forms
from django.contrib.auth.forms import AuthenticationForm, UsernameField

from accounts.models import SCOPES


class SignInForm(AuthenticationForm):
    """Django's own form (fields `username` and `password`), asking for an e-mail."""

    username = UsernameField(
        label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    error_messages = {
        "invalid_login": "E-mail and password do not match.",
        "inactive": "This person may not sign in any more.",
    }


class ApiKeyForm(forms.Form):
    name = forms.CharField(max_length=100, label="Name", help_text="What will use it, for example “nightly import”.")
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        initial=list(SCOPES),
        widget=forms.CheckboxSelectMultiple,
    )
