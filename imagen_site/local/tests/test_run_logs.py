from pathlib import Path

from imagen_site.local.run_logs import RunLogs


class TestTheLogsOfARun:
    def test_hold_nothing_of_the_run_before(self, tmp_path: Path) -> None:
        (tmp_path / "web.log").write_text("[ERROR] of yesterday\n")
        logs = RunLogs(tmp_path)

        assert "yesterday" not in logs.shown("web")
        assert "nothing in this run" in logs.shown("web")

    def test_hold_what_was_written_since(self, tmp_path: Path) -> None:
        (tmp_path / "web.log").write_text("yesterday\n")
        logs = RunLogs(tmp_path)
        with (tmp_path / "web.log").open("a") as file:
            file.writelines(f"line {number}\n" for number in range(20))

        assert logs.end_of("web") == "\n".join(f"line {number}" for number in range(5, 20))

    def test_hold_all_of_a_file_that_was_begun_anew(self, tmp_path: Path) -> None:
        (tmp_path / "web.log").write_text("yesterday\n" * 100)
        logs = RunLogs(tmp_path)
        (tmp_path / "web.log").write_text("today\n")

        assert logs.end_of("web") == "today"

    def test_are_empty_for_a_program_that_never_wrote(self, tmp_path: Path) -> None:
        assert RunLogs(tmp_path / "none yet").end_of("triton") == ""
