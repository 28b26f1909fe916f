"""A server that is restarted while a run is at work on it."""

import pytest
from conftest import Database, Luigi, Published, files_in_work
from paused import Paused, ending
from servers import OwnServer

pytestmark = pytest.mark.slow


def test_a_restart_of_the_server_costs_a_step_and_fails_no_run(
    own_server: OwnServer, three_months: Published, luigi_folder: Luigi
) -> None:
    luigi, database = luigi_folder, Database(own_server.url)
    points = {"2024-01": "download", "2024-02": "copy", "2024-03": "merge"}
    for month, point in points.items():
        words = luigi.command("TaxiMerge", f"--month={month}", "--taxi-type=green")
        run = Paused(words, point, luigi.folder)
        with ending(run):
            run.paused()
            own_server.control("-m", "immediate", "restart")
            run.go()
            ended = run.ended()
        assert ended.code == 0, ended.output
        assert "trying again in 1 s" in ended.output
        assert "Traceback" not in ended.output
        print(f"restarted in {point}:\n{ended.output}")
    rows = [three_months.counts[f"green_tripdata_{month}.parquet"].rows for month in points]
    assert database.ledger("rows_read") == [(each,) for each in rows]
    assert database.query("SELECT DISTINCT state, exit_code FROM runs") == [("succeeded", 0)]
    assert database.query("SELECT state, count(*) FROM load_attempts GROUP BY 1") == [
        ("succeeded", 3)
    ]
    assert files_in_work(luigi.folder / "data") == []


@pytest.fixture
def luigi_folder(own_server: OwnServer, three_months: Published, tmp_path: object) -> Luigi:
    settings = {"--warehouse-url": own_server.url, "--source-url": three_months.url}
    return Luigi(tmp_path, settings)  # type: ignore[arg-type]
