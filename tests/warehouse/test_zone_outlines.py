"""The outlines of the zones in the warehouse: they come with the names, if they can be had."""

import shutil
from pathlib import Path

import pytest
from conftest import Database, Luigi, Run
from mirror import Mirror

from luigi_tasks.catalog import Outline
from luigi_tasks.sample import write_zone_shapes, write_zones

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
pytestmark = on_one_server
WITHOUT = "WARNING: the taxi zones are loaded without their outlines, which only a map needs: "


@pytest.fixture
def folder(luigi_command: Luigi) -> Path:
    """A folder with the names of the zones, in which the outlines are looked for."""
    folder = luigi_command.folder / "published"
    write_zones(folder / "taxi_zone_lookup.csv")
    luigi_command.settings["--source-zones-url"] = f"file://{folder}/taxi_zone_lookup.csv"
    return folder


def load(command: Luigi, *flags: str) -> Run:
    run = command("TaxiZones", *flags)
    assert run.code == 0, run.output
    assert "Traceback" not in run.output
    assert list((command.folder / "data").rglob("*zone*")) == []
    return run


def outlines(database: Database) -> list[tuple[int, str, str]]:
    return database.query("SELECT * FROM zone_outlines ORDER BY location_id")


def test_outlines_are_loaded_once_and_healed(
    luigi_command: Luigi, database: Database, folder: Path
) -> None:
    """They are beside the names by default."""
    write_zone_shapes(folder / "taxi_zones.zip")
    load(luigi_command)
    for lost in ("DELETE FROM zone_outlines", "DROP TABLE zone_outlines"):
        database.query(lost)
        assert "loaded the outlines of 260 taxi zones" in load(luigi_command).output
        found = [Outline(*each) for each in outlines(database)]
        assert len(found) == 260
        assert {each.view_box for each in found} == {"0 0 2000 1981"}
        assert "loaded" not in load(luigi_command).output  # there is nothing to do
    assert database.value("SELECT count(*) FROM taxi_zones") == 265


def test_names_are_loaded_without_outlines_that_are_not_there(
    luigi_command: Luigi, database: Database, folder: Path
) -> None:
    """The next run tries again."""
    for workers in ("1", "2"):
        assert f"{WITHOUT}file://{folder}/taxi_zones.zip: " in (
            load(luigi_command, "--workers", workers).output
        )
        assert database.value("SELECT count(*) FROM taxi_zones") == 265
        assert outlines(database) == []
        assert database.value("SELECT count(*) FROM table_updates") == 2
    write_zone_shapes(folder / "taxi_zones.zip")
    assert WITHOUT not in load(luigi_command).output
    assert len(outlines(database)) == 260


def test_a_bad_file_leaves_the_outlines_that_are_loaded(
    luigi_command: Luigi, database: Database, folder: Path
) -> None:
    write_zone_shapes(folder / "taxi_zones.zip")
    load(luigi_command)
    before = outlines(database)
    with Mirror(folder) as mirror:
        (folder / "bad.zip").write_bytes(b"PK and no more")
        url = mirror.url("bad.zip", "me:secret@")
        run = load(luigi_command, f"--source-zone-shapes-url={url}")
    assert f"{WITHOUT}taxi_zones.zip has no outlines of taxi zones: it is damaged" in run.output
    assert "secret" not in run.output
    assert outlines(database) == before


def test_another_edition_takes_the_place_of_the_first(
    luigi_command: Luigi, database: Database, folder: Path, shared_data: Path
) -> None:
    write_zone_shapes(folder / "taxi_zones.zip")
    load(luigi_command)
    before = outlines(database)
    shutil.copy(shared_data / "lookup" / "taxi_zones.zip", folder / "other.zip")
    load(luigi_command, f"--source-zone-shapes-url=file://{folder}/other.zip")
    after = outlines(database)
    assert [each[0] for each in after] == [each[0] for each in before]
    assert after != before
    size = sum(len(outline) for _, outline, _ in after)
    assert size < 50_000


def test_no_outlines_are_loaded_where_none_are_wanted(
    luigi_command: Luigi, database: Database, folder: Path
) -> None:
    (luigi_command.folder / "luigi.cfg").write_text("[source]\nzone_shapes_url =\n")
    for told in (True, False):
        run = load(luigi_command)
        assert "outlines" not in run.output
        assert ("loaded 265 taxi zones" in run.output) == told
    assert outlines(database) == []
