-- Declares nodes dead, and tells which were not yet. From here on their jobs may be taken back.
update callboard.nodes set condemned_at = clock_timestamp()
 where id = any($1) and condemned_at is null
returning id
