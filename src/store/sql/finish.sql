-- Ends a batch ($2) of the express lane, in the transaction that holds its jobs. $1 is the node, $3 its queue, and $4
-- how long ago it came to hold them, in microseconds. What is completed is named by the places of its rows, which
-- nobody can move while they are held: first attempts ($5) go into the history as one row, with their ids ($6), the
-- times of their enqueues ($7), between which ids these lie ($8, $9), their kinds ($10), and of which of these each is
-- ($11); others ($12), and few ($5 is empty then), by a row each.
--
-- Answers with how many were completed; null: the batch is not this node's to end any more, and nothing was done.
with struck as materialized (
    delete from callboard.express_batches where batch = $2 and not is_disowned returning batch
),
packed as (
    delete from callboard.jobs j
     where j.ctid = any($5::tid[]) and exists (select from struck)
    returning 1
),
noted as (
    insert into callboard.history_batches
           (node, attempted_at, queue, first_id, last_id, kinds, kind_of, ids, enqueued_at)
    select $1, clock_timestamp() - $4::bigint * interval '1 microsecond', $3, $8, $9, $10, $11, $6, $7
      from struck where cardinality($5::tid[]) > 0
),
ended as (
    delete from callboard.jobs j
     where j.ctid = any($12::tid[]) and exists (select from struck)
    returning j.id, j.enqueued_at, j.attempt, j.queue, j.kind, j.errors
),
logged as (
    insert into callboard.history (id, enqueued_at, attempted_at, node, attempt, state, queue, kind, errors)
    select id, enqueued_at, clock_timestamp() - $4::bigint * interval '1 microsecond', $1, attempt + 1, 'completed',
           queue, kind, errors
      from ended
)
select case when exists (select from struck)
            then (select count(*) from packed) + (select count(*) from ended) end
