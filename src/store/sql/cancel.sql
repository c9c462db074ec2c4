-- Cancels jobs: waiting ones at once; for executing ones the wish is noted, and their node told. Rows are locked in
-- the order of their ids, as everywhere.
with target as materialized (
    select id, state from callboard.jobs where id = any($1) order by id for update
),
ended as (
    delete from callboard.jobs j using target t
     where j.id = t.id and t.state <> 'executing'
    returning j.*
),
logged as (
    insert into callboard.history
           (id, enqueued_at, attempted_at, node, attempt, state, queue, kind, errors)
    select id, enqueued_at, attempted_at, node, attempt, 'cancelled', queue, kind, errors from ended
),
passed as (
    delete from callboard.checkpoints where id = any(array(select id from ended))
),
asked as (
    update callboard.jobs j set cancel_requested_at = coalesce(j.cancel_requested_at, clock_timestamp())
      from target t
     where j.id = t.id and t.state = 'executing'
    returning j.id
)
select id, false as is_executing, queue, ordering_key from ended
union all
select id, true, null, null from asked
