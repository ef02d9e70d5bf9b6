"""
What can go wrong with people and their keys.

AccountError
├── EmailTaken         somebody signs in with this address already
├── EmailMalformed     this is not an address
├── PasswordTooWeak    the site's password rules refuse it
├── InvalidApiKey      not a key, not ours, revoked or expired
├── ApiKeyNotFound     the account has no such key
├── UnknownScope       a key was to get a scope that does not exist, or none
├── ScopeMissing       the key is good but may not do this
├── AccountNotFound    no account has this id, name or address (an operator's commands)
├── AmbiguousAccount   several accounts have this name (an operator's commands)
└── TooManyAttempts    sign-in is closed for a while; carries retry_after in seconds
"""

from collections.abc import Iterable
from typing import ClassVar


class AccountError(Exception):
    """The caller's fault; `code` is stable, the sentence may change."""

    code: ClassVar[str] = "account_error"


class EmailTaken(AccountError):
    code = "email_taken"

    def __init__(self, email: str) -> None:
        super().__init__(f"Somebody signs in as {email} already.")


class EmailMalformed(AccountError):
    code = "email_malformed"

    def __init__(self, email: str) -> None:
        super().__init__(f"{email!r} is not an e-mail address.")


class PasswordTooWeak(AccountError):
    code = "password_too_weak"

    def __init__(self, reasons: Iterable[str]) -> None:
        super().__init__(" ".join(reasons))


class InvalidApiKey(AccountError):
    code = "invalid_api_key"


class ApiKeyNotFound(AccountError):
    code = "api_key_not_found"

    def __init__(self) -> None:
        super().__init__("This account has no such API key.")


class UnknownScope(AccountError):
    code = "unknown_scope"

    def __init__(self, scopes: Iterable[str], known: Iterable[str]) -> None:
        seen = ", ".join(scopes) or "none"
        super().__init__(f"An API key needs one or more of the scopes {', '.join(known)}; got {seen}.")


class ScopeMissing(AccountError):
    code = "scope_missing"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This API key lacks the scope {scope}.")
        self.scope = scope


class TooManyAttempts(AccountError):
    code = "too_many_attempts"

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many failed sign-ins; try again in {retry_after} seconds.")
        self.retry_after = retry_after


class AccountNotFound(AccountError):
    code = "account_not_found"

    def __init__(self, text: str) -> None:
        super().__init__(f"There is no account with the id, name or e-mail address {text!r}.")


class AmbiguousAccount(AccountError):
    code = "ambiguous_account"

    def __init__(self, text: str, ids: Iterable[object]) -> None:
        listed = ", ".join(str(account_id) for account_id in ids)
        super().__init__(f"Several accounts are named {text!r}; say which one by its id: {listed}.")
