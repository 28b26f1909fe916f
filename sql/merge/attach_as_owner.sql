-- Have the owner of the trips table attach the month's partition, which this role may not.
SELECT {{ attach_function | identifier }}(
    {{ trips | identifier | value }}::regclass,
    {{ start | value }}::date,
    {{ partition | identifier | value }}::regclass
);
