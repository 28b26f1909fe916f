"""The taxi zones, as the TLC publishes them."""

from pathlib import Path

import pytest

from luigi_tasks.catalog import Zone, read_zones
from luigi_tasks.errors import TaxiError

HEADER = '"LocationID","Borough","Zone","service_zone"\n'


@pytest.mark.parametrize(
    ("edition", "last"),
    [
        ("taxi_zone_lookup.csv", Zone(265, "N/A", "Outside of NYC", "N/A")),
        ("taxi_zone_lookup_until2021_crlf.csv", Zone(265, "Unknown", "NA", "N/A")),
    ],
)
def test_every_zone_of_a_published_edition_is_read(
    shared_data: Path, edition: str, last: Zone
) -> None:
    zones = read_zones(shared_data / "lookup" / edition)
    assert [zone.location_id for zone in zones] == list(range(1, 266))
    assert zones[0] == Zone(1, "EWR", "Newark Airport", "EWR")
    assert zones[-1] == last


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not enough values"),
        (HEADER, "it has no rows"),
        ("a,b\n1,2\n", "its columns are a, b, not LocationID, Borough"),
        (HEADER + "1,a,b,c\n1,d,e,f\n", "it has zone 1 twice"),
        (HEADER + "one,a,b,c\n", "invalid literal"),
        (HEADER + "1,a,b\n", "not enough values"),
        (HEADER + '1,"a,b,c', "unexpected end of data"),
    ],
)
def test_a_file_that_has_no_zones_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "zones.csv"
    file.write_text(content)
    with pytest.raises(TaxiError, match=rf"^zones\.csv has no taxi zones: .*{message}"):
        read_zones(file)
