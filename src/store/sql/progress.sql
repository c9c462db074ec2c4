-- Notes how far a job has come: $4 of $5, and a message. Behind the same fence as checkpoint.sql.
with held as materialized (
    select id, attempt from callboard.jobs
     where id = $1 and attempt = $2 and node = $3 and state = 'executing'
       for share
)
insert into callboard.checkpoints
       (id, progress_attempt, progress_done, progress_of, progress_message, progressed_at)
select id, attempt, $4, $5, $6, clock_timestamp() from held
on conflict (id) do update
   set progress_attempt = excluded.progress_attempt, progress_done = excluded.progress_done,
       progress_of = excluded.progress_of, progress_message = excluded.progress_message,
       progressed_at = excluded.progressed_at
returning id
