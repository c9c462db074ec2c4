-- How well the database can clean up after the board: jobs that wait for their time (counted up to $1), dead
-- rows in the hot table, and the age of the oldest transaction that keeps vacuum from removing them, in
-- milliseconds. Of sessions of other users it is known only to members of pg_monitor.
select (select count(*) from (select from callboard.jobs where not is_ready limit $1) as capped),
       pg_stat_get_dead_tuples('callboard.jobs'::regclass),
       (extract(epoch from clock_timestamp() - least(
           (select min(xact_start) from pg_stat_activity
             where backend_xmin is not null and pid <> pg_backend_pid()
               and (datname = current_database() or datname is null)),
           (select min(prepared) from pg_prepared_xacts where database = current_database()))) * 1000)::bigint
