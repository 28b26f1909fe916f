"""What sqlfluff fills into the files of ``sql/``: the filters, and an example of every name."""

from luigi_tasks.catalog import GREEN, LOOKUPS, TAXI_TYPES
from luigi_tasks.catalog.features import BY_HOUR, BY_ZONE, FEATURES


def _identifier(name):
    return name if isinstance(name, str) else ".".join(name)


def _value(value):
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_value, value))}]"
    return "'" + str(value).replace("'", "''") + "'"


SQLFLUFF_JINJA_FILTERS = {"identifier": _identifier, "value": _value}

columns = GREEN.columns
lookups, lookup = GREEN.lookups, LOOKUPS[0]
view = ("public", "green_trips_named")
tables, shown, viewed = [view], GREEN.shown_names, [("vendor_id", "integer", "text")]
views = [(name, ("public", f"{name}_trips_named"), ["vendor_id"]) for name in TAXI_TYPES]
zones = [(1, "EWR", "Newark Airport", "EWR")]
trips = ("public", "green_trips")
other = ("public", "green_trips_other")
partition = ("public", "green_trips_2024_01")
staging = source = table = ("public", "green_trips_staging_2024_01")
ledger, marker_table = ("taxi", "load_history"), ("taxi", "table_updates")
transaction = "4711"
version_table = ("taxi", "warehouse_version")
ledger_comment = markers_comment = zones_comment = comment_of_trips = package = "text"
owns_markers, migration = True, 1
zones_table, trips_view = ("taxi", "taxi_zones"), ("taxi", "trips")
outlines_table, outlines_comment = ("taxi", "zone_outlines"), "text"
outlines = [(1, "M0 0l1 1 1-1z", "0 0 2 1")]
markers = {"names": "text", "outlines": "text", "without_outlines": "text"}
schema, schemas = "taxi", ["taxi"]
wanted = [(table, ["unique_row_id"])]
key = partition_key = "a_key"
is_only = is_counted = becomes_partition = are_new = is_new = True
growth = 1.0
description = role = hashed = "text"
new = ["request_source"]
relation, column = "public.green_trips_named", "vendor_id"
start, stop, month = "2024-01-01", "2024-02-01", "2024-01-01"
months = [month]
taxi_type = "green"
filename = "green_tripdata_2024-01.parquet"
update_id = target_table = comment = update_id_prefix = "text"
edition, load_id = {"etag": "text", "last_modified": "text"}, 1
update_ids = names = compared = numbered = stored = relations = ["text"]
definitions = {"vendor_id": "integer", "filename": "text NOT NULL"}
moved = [(("fee", "bigint"), ("fee__bigint", "bigint"))]
load = {"taxi_type": "green", "rows_read": 1}
references = [("public", "green_trips", "pickup_location_id", "location_id", True)]
location_ids = [1]
advisory_locks, name, pid, pids = 1, "green 2024-01", 1, [1]
lock_timeout = statement_timeout = "3600s"
runs_table, attempts_table = ("taxi", "runs"), ("taxi", "load_attempts")
runs_comment = attempts_comment = package_version = state = step = error = cause = "text"
settings = waiting_for = "text"
longest, most = 200, 24
run, run_id, run_ids, exit_code, silence, corrections_checked = {}, 1, [1], 0, 90, ["green"]
month_trips, derived, query = ("pg_temp", "month_trips"), ("taxi", "daily"), "SELECT 1 AS one"
sent = {"unique_row_id": False, "note": True}
pickups, prefix = [{"start": start, "stop": stop}], "text"
alarms_table, alarm_id, days, receivers = ("taxi", "alarms"), 1, 7, ["0123456789abcdef"]
alarms_comment = change = title = body = receiver = "text"
seen_table, taxi_types, firsts, lasts = ("taxi", "months_seen"), ["green"], [start], [month]
reasons, deadlines, least_rows, dead_runs, seen_comment = ["missing"], [month], 0.5, [1], "text"
counted_table, counted_comment, trips_tables = ("taxi", "counted_loads"), "text", ["taxi.trips"]
counted, parts, definition, limit = ["pickup_location_id"], [(trips, pickups[0])], "0a1b2c3d", 10
hour_sums, zone_sums, feature = BY_HOUR, BY_ZONE, FEATURES[0]
by_file, services = ("taxi", "daily_trips_by_file"), [("green", "taxi.green_trips")]
counts = {
    "by_hour": {"pickup_hour": [start], **{each.name: [1] for each in BY_HOUR}},
    "by_zone": {"month": [month], "location_id": [1], **{each.name: [1] for each in BY_ZONE}},
}
by_hour, by_zone = ("pg_temp", "by_hour"), ("pg_temp", "by_zone")
file_trips = ("pg_temp", "file_trips")
daily_table, monthly_table = ("taxi", "daily_trips"), ("taxi", "monthly_trips")
hourly_table, pickups_table = ("taxi", "hourly_trips"), ("taxi", "zone_pickups")
load_ids = [1]
load_status_view = ("taxi", "load_status")
comments = {"month": "text"}
attach_function, analyze_function = ("taxi", "attach_trips_partition"), ("taxi", "analyze_trips")
loader, reader, owner, roles = "taxi_loader", "taxi_reader", "taxi_owner", ["taxi_loader"]
missing, must_join, is_owner = ["taxi_loader", "taxi_reader", "loading"], True, True
staging_schema, database, database_privileges = "loading", "warehouse", ["CONNECT"]
own_trips, changed, kept, default_partitions, functions = (
    [trips],
    [trips],
    [runs_table],
    [other],
    [attach_function],
)
probe, most, places, rest = "00112233-4455-6677-8899-aabbccddeeff", 10, "{}", ["request_source"]
with_ids = True
covered, only_file, ids = columns, True, ["00112233-4455-6677-8899-aabbccddeeff"]
