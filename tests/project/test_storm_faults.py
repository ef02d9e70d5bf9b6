"""What judges a storm: it must see the faults that no storm shows while all is well."""

from dataclasses import replace

from jobs.states import JobState, JobStatus
from jobs.tests.test_state_store import claimed, completed, new, working
from tests.chaos import faults_of, unseen_versions


def history() -> list[JobState]:
    state = new()
    return [state, claimed(state), working(state), completed(state)]


class TestTheJudgeOfAStorm:
    def test_finds_nothing_in_a_life_as_it_should_be(self) -> None:
        assert faults_of(history()) == []
        assert unseen_versions(history()) == set()

    def test_sees_a_version_that_two_writers_wrote(self) -> None:
        states = history()
        other = replace(states[1], attempt=2)

        assert faults_of([*states[:2], other, *states[2:]]) == [
            "version 2 was written twice: processing and processing"
        ]

    def test_sees_a_version_that_falls(self) -> None:
        first, second, third, _ = history()

        assert faults_of([first, third, second]) == ["version 3 was followed by 2"]

    def test_sees_a_job_that_completes_twice(self) -> None:
        states = history()
        again = replace(states[-1], version=states[-1].version + 1)

        assert faults_of([*states, again]) == ["completed was followed by completed", "completed 2 times"]

    def test_sees_an_end_that_is_taken_back(self) -> None:
        states = history()
        begun = replace(states[-1], status=JobStatus.PROCESSING, version=states[-1].version + 1)

        assert faults_of([*states, begun]) == ["completed was followed by processing"]

    def test_names_the_versions_that_it_was_not_shown(self) -> None:
        states = history()

        assert unseen_versions([states[0], states[-1]]) == {2, 3}
