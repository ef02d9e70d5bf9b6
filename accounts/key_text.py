"""
The text of an API key: `img_<mode>_<prefix>_<secret>`.

The secret ends in a checksum of all that stands before it, so that a typo is told from a wrong key without asking the
database, and a secret scanner can tell a key from a look-alike (the idea is GitHub's, "Behind GitHub's new
authentication token formats", 2021). Pure: no Django, no I/O but randomness.
"""

import hashlib
import secrets
import string
import zlib
from dataclasses import dataclass

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
MODES = ("live", "test")
PREFIX_LENGTH = 10
# 32 characters of 62 are 190 bits.
RANDOM_LENGTH = 32
# 62 ** 6 is the first power above 2 ** 32.
CHECKSUM_LENGTH = 6


@dataclass(frozen=True)
class KeyText:
    """The parts of a well-formed key; `secret` includes its checksum."""

    mode: str
    prefix: str
    secret: str

    def __str__(self) -> str:
        return f"img_{self.mode}_{self.prefix}_{self.secret}"

    def __repr__(self) -> str:
        return f"KeyText(img_{self.mode}_{self.prefix}_…)"

    @property
    def secret_sha256(self) -> str:
        return hashlib.sha256(self.secret.encode("ascii")).hexdigest()


def make(mode: str) -> KeyText:
    """Return a new random key."""
    prefix, random = _random(PREFIX_LENGTH), _random(RANDOM_LENGTH)
    return KeyText(mode=mode, prefix=prefix, secret=random + _checksum(f"img_{mode}_{prefix}_{random}"))


def parse(text: str) -> KeyText | None:
    """Return the parts of a key, None if this text cannot be one (wrong form, or a typo by its checksum)."""
    match text.split("_"):
        case ["img", mode, prefix, secret] if mode in MODES and _well_formed(prefix, secret):
            body, checksum = text[:-CHECKSUM_LENGTH], secret[-CHECKSUM_LENGTH:]
            return KeyText(mode=mode, prefix=prefix, secret=secret) if _checksum(body) == checksum else None
    return None


def _well_formed(prefix: str, secret: str) -> bool:
    lengths = (len(prefix), len(secret)) == (PREFIX_LENGTH, RANDOM_LENGTH + CHECKSUM_LENGTH)
    return lengths and set(prefix + secret) <= set(ALPHABET)


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode("ascii")), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
