-- Keeps a value for the next attempt of a job ($4: its shape, $5: its bytes), in the place of an earlier one.
--
-- The fence: it counts only while the row is at this attempt ($2), executing, and held by this node ($3). The
-- lock keeps it so until the commit: who takes the job back meanwhile, waits or looks again later.
with held as materialized (
    select id from callboard.jobs
     where id = $1 and attempt = $2 and node = $3 and state = 'executing'
       for share
)
insert into callboard.checkpoints (id, fingerprint, saved_at, checkpoint)
select id, $4, clock_timestamp(), $5 from held
on conflict (id) do update
   set fingerprint = excluded.fingerprint, saved_at = excluded.saved_at, checkpoint = excluded.checkpoint
returning id
