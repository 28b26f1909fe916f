-- Select how many days after the end of each of a service's last months its first edition was
-- published; files that were published anew long afterwards say nothing about that.
SELECT first_edition.days
FROM (
    SELECT
        month,
        extract(
            EPOCH FROM min(last_modified) - (month + interval '1 month')
        ) / 86400 AS days
    FROM {{ ledger | identifier }}
    WHERE
        taxi_type = {{ taxi_type | value }}
        AND last_modified IS NOT NULL
    GROUP BY month
) AS first_edition
WHERE
    first_edition.days > 0
    AND first_edition.days <= {{ longest | value }}
ORDER BY first_edition.month DESC
LIMIT {{ most | value }};
