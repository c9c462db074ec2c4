-- Whether the transaction of a batch of the express lane has ended what it held, by what became of one of its
-- jobs ($2) at the attempt ($3) that a node ($1) began.
select exists (select from callboard.finished_jobs
                where id = $2 and $2 between first_id and last_id and node = $1 and attempt = $3 and finished_at > now() - interval '1 day')
    or exists (select from callboard.jobs where id = $2 and attempt >= $3)
    or exists (select from callboard.dead_letters where id = $2 and attempt >= $3)
