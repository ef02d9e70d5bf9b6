"""What Django is told of each profile's parts."""

from pathlib import Path

from imagen_site import profiles
from imagen_site.config import load


def database_of(tmp_path: Path, url: str) -> dict[str, object]:
    environment = {"IMAGEN_VAR_DIR": str(tmp_path), "SECRET_KEY": "k" * 40, "DATABASE_URL": url}
    return profiles.database(load(environment))


class TestAPostgreSqlThatIsSilent:
    def test_holds_nobody_for_longer_than_five_seconds(self, tmp_path: Path) -> None:
        options = database_of(tmp_path, "postgres://imagen@10.0.0.3/imagen")["OPTIONS"]

        assert options == {"connect_timeout": 5, "tcp_user_timeout": 15_000}

    def test_is_given_what_its_address_asks_for(self, tmp_path: Path) -> None:
        options = database_of(tmp_path, "postgres://imagen@10.0.0.3/imagen?connect_timeout=2&sslmode=require")[
            "OPTIONS"
        ]

        assert options == {"connect_timeout": 2, "tcp_user_timeout": 15_000, "sslmode": "require"}
