-- Hash a fingerprint whose hash is known: it shows whether the server does so as the client does.
SELECT uuid_hash_extended({{ probe | value }}::uuid, 0) AS hashed;
