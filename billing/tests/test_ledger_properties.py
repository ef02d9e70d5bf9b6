"""Any order of movements, repeats and refusals included, against a model in plain Python."""

from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Account
from billing import errors, services
from billing.services import Balance

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
REFERENCES = st.sampled_from(["a", "b", "c"])
CREDITS = st.integers(min_value=1, max_value=8)
MOVES = st.one_of(
    st.tuples(st.just("hold"), REFERENCES, CREDITS),
    st.tuples(st.just("top_up"), REFERENCES, CREDITS),
    st.tuples(st.just("grant"), REFERENCES, CREDITS),
    st.tuples(st.just("capture"), REFERENCES),
    st.tuples(st.just("release"), REFERENCES),
)

Move = tuple[str, str] | tuple[str, str, int]
# What a service returns, or the class of what it raises.
Answer = bool | type[errors.BillingError] | None


class TestLedger:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(moves=st.lists(MOVES, max_size=25))
    def test_adds_up_to_the_balance_after_any_sequence_of_moves(self, db: None, moves: list[Move]) -> None:
        account = Account.objects.create(name="Anybody")
        model = Model()

        for move in moves:
            assert attempt(account, *move) == model.expect(*move)
            audit = services.audit(account)
            assert audit.agrees
            assert audit.balance == model.balance


class Model:
    """What should happen."""

    def __init__(self) -> None:
        self.balance = Balance(available=0, held=0)
        self.holds: dict[str, int] = {}
        self.outcomes: dict[str, str] = {}
        self.added: dict[tuple[str, str], int] = {}

    def expect(self, kind: str, reference: str, amount: int = 0) -> Answer:
        if kind == "hold":
            return self._hold(reference, amount)
        if kind in {"capture", "release"}:
            return self._settle(kind, reference)
        if (kind, reference) in self.added:
            return False if self.added[kind, reference] == amount else errors.ReferenceTaken
        self.added[kind, reference] = amount
        self._move(amount, 0)
        return True

    def _hold(self, reference: str, amount: int) -> Answer:
        if reference in self.holds:
            return errors.AlreadyHeld
        if amount > self.balance.available:
            return errors.InsufficientCredits
        self.holds[reference] = amount
        self._move(-amount, amount)
        return None

    def _settle(self, kind: str, reference: str) -> Answer:
        if reference not in self.holds:
            return errors.NothingHeld
        if reference in self.outcomes:
            return False if self.outcomes[reference] == kind else errors.AlreadySettled
        self.outcomes[reference] = kind
        amount = self.holds[reference]
        self._move(amount if kind == "release" else 0, -amount)
        return True

    def _move(self, available: int, held: int) -> None:
        self.balance = Balance(self.balance.available + available, self.balance.held + held)


def attempt(account: Account, kind: str, reference: str, amount: int = 0) -> Answer:
    # References are unique over all accounts, and every example has an account of its own.
    reference = f"{account.pk.hex}-{reference}"
    arguments = {"account": account, "credits": amount} if amount else {}
    try:
        return getattr(services, kind)(reference=reference, now=NOW, **arguments)
    except errors.BillingError as error:
        return type(error)
