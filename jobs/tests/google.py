"""A Google of our own: a key, its certificate, tokens signed with it, and what Pub/Sub wraps a message into."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import crypt, jwt
from google.auth.exceptions import TransportError

AUDIENCE = "https://webhooks.imagen.example"
PUSHER = "pusher@prints.iam.gserviceaccount.com"


class Key:
    def __init__(self, key_id: str = "key-1") -> None:
        self.key_id = key_id
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def certificate(self) -> str:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        builder = x509.CertificateBuilder(
            issuer_name=name,
            subject_name=name,
            public_key=self._key.public_key(),
            serial_number=1,
            not_valid_before=datetime.now(UTC) - timedelta(days=1),
            not_valid_after=datetime.now(UTC) + timedelta(days=1),
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def token(self, **claims: Any) -> str:
        """A token such as Pub/Sub sends, but for these claims; one that is None is left out."""
        now = int(time.time())
        usual = {"iss": "https://accounts.google.com", "aud": AUDIENCE, "email": PUSHER, "email_verified": True}
        payload = {**usual, "iat": now, "exp": now + 3600, **claims}
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        signer = crypt.RSASigner.from_string(pem, self.key_id)
        return jwt.encode(signer, {name: value for name, value in payload.items() if value is not None}).decode()


@dataclass
class Answer:
    data: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Cache-Control": "public, max-age=600"})


@dataclass
class CertificatesPage:
    """Google's page of certificates; it counts how often it was asked, and can be away."""

    keys: list[Key]
    asked: int = 0
    away: bool = False
    now: float = 1000.0

    def __call__(self, url: str, **options: Any) -> Answer:
        assert url.startswith("https://www.googleapis.com/")
        assert options["timeout"] <= 10
        self.asked += 1
        if self.away:
            raise TransportError("away")
        return Answer(json.dumps({key.key_id: key.certificate for key in self.keys}).encode())

    def clock(self) -> float:
        return self.now


def pushed(content: bytes, **attributes: str) -> dict[str, Any]:
    """The body of a push."""
    data = base64.b64encode(content).decode()
    message = {"data": data, "attributes": attributes, "messageId": "7", "publishTime": "2026-03-01T12:00:00Z"}
    return {"message": message, "subscription": "projects/prints/subscriptions/job-events-push"}
