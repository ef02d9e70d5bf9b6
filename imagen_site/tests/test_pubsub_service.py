import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials

from imagen_site.brokers import pubsub_service
from imagen_site.brokers.pubsub_service import Outgoing, Pubsub, PubsubError


class TestTheCloudItself:
    def test_is_reached_with_the_credentials_of_the_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
        monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "photos"))

        for client in (pubsub_service._publisher, pubsub_service._subscriber):
            with client.__wrapped__(None) as made:
                assert made.transport.host == "pubsub.googleapis.com:443"

    def test_says_when_there_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")

        with pytest.raises(PubsubError, match="nowhere"):
            Pubsub(project="photos", emulator_host=None).publish("upscale-jobs", [Outgoing(b"", {})], seconds=1)
