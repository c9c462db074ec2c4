-- Ends a batch ($2) of the express lane, in the transaction that holds its jobs: these ($3) are completed. $1 is
-- the node, and $4 how long ago it came to hold them, in microseconds. Answers with how many were completed; null:
-- the batch is not this node's to end any more, and nothing was done.
with struck as materialized (
    delete from callboard.express_batches where batch = $2 and not is_disowned returning batch
),
ended as (
    delete from callboard.jobs j
     where j.id = any($3::bigint[]) and exists (select from struck)
    returning j.id, j.enqueued_at, j.attempt, j.queue, j.kind, j.errors
),
logged as (
    insert into callboard.history (id, enqueued_at, attempted_at, node, attempt, state, queue, kind, errors)
    select id, enqueued_at, clock_timestamp() - $4::bigint * interval '1 microsecond', $1, attempt + 1, 'completed',
           queue, kind, errors
      from ended
)
select case when exists (select from struck) then (select count(*) from ended) end
