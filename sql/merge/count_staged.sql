-- Count the rows of a staging table, sum up their fingerprints, and find the strays, all in one
-- scan. luigi_tasks/checksums.py has the same sum of hashes; the digits of the fingerprints would
-- take six times as long.
SELECT -- noqa: disable=LT02
    count(*) AS trips,
    sum(uuid_hash_extended(unique_row_id, 0)) AS upper_half,
    sum(uuid_hash_extended(unique_row_id, 1)) AS lower_half,
    coalesce(
        cardinality(
            array_agg(ctid) FILTER (
                WHERE
                    pickup_datetime < {{ start | value }}
                    OR pickup_datetime >= {{ stop | value }}
            )
        ),
        0
    ) AS strays,
    (
        array_agg(ctid) FILTER (
            WHERE
                pickup_datetime < {{ start | value }}
                OR pickup_datetime >= {{ stop | value }}
        )
    )[1:{{ most }}]::text AS places
FROM {{ staging | identifier }};
