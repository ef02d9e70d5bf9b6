"""
What Cloud Storage does with a signed address (V4, "Signing URLs with your own program"), which no stand-in does.

Google answers a request whose method, path, signed headers or time are not what was signed with a refusal; this says
which, by Google's own codes.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_ALGORITHM = "GOOG4-RSA-SHA256"


def verdict(
    method: str,
    address: str,
    key: RSAPublicKey,
    *,
    headers: Mapping[str, str] | None = None,
    body_bytes: int = 0,
    after: timedelta = timedelta(0),
) -> str:
    """Return "OK" or the code of Google's refusal of a request that is made `after` the address was signed."""
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    signature = bytes.fromhex(query.pop("X-Goog-Signature"))
    sent = {"host": parts.netloc} | {name.lower(): value for name, value in (headers or {}).items()}
    signed = query["X-Goog-SignedHeaders"].split(";")
    if after > timedelta(seconds=int(query["X-Goog-Expires"])) or _signed_at(query) > datetime.now(UTC):
        return "ExpiredToken"
    # Headers of the vendor's own that were not signed are refused, whatever they say.
    if any(name not in sent for name in signed) or any(n.startswith("x-goog-") and n not in signed for n in sent):
        return "MalformedSecurityHeader"
    canonical = _canonical(method, parts.path, query, [(name, sent[name]) for name in signed])
    scope = query["X-Goog-Credential"].split("/", 1)[1]
    text = "\n".join([_ALGORITHM, query["X-Goog-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    try:
        key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return "SignatureDoesNotMatch"
    return _size_verdict(sent.get("x-goog-content-length-range"), body_bytes)


def _signed_at(query: Mapping[str, str]) -> datetime:
    return datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%S%z")


def _canonical(method: str, path: str, query: Mapping[str, str], headers: list[tuple[str, str]]) -> str:
    pairs = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items()))
    lines = [f"{name}:{value}" for name, value in headers]
    names = ";".join(name for name, _ in headers)
    return "\n".join([method, path, pairs, *lines, "", names, "UNSIGNED-PAYLOAD"])


def _size_verdict(allowed: str | None, size: int) -> str:
    if allowed is None:
        return "OK"
    least, most = map(int, allowed.split(","))
    if size < least:
        return "EntityTooSmall"
    return "EntityTooLarge" if size > most else "OK"
