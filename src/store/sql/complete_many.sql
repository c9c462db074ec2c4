-- As complete.sql, for answers that have gathered: first attempts of one claim go into the history together, if they
-- are many. A row for each costs as much as their deletion; to be ready for that costs as much as some dozen of them.
with ended as (
    delete from callboard.jobs j
     using unnest($2::bigint[], $3::integer[], $4::tid[]) as answer (id, attempt, lies_at)
     where j.ctid = answer.lies_at and j.id is not distinct from answer.id and j.attempt = answer.attempt
       and j.node = $1 and j.state = 'executing'
    returning j.id, j.enqueued_at, j.attempted_at, j.node, j.attempt, j.queue, j.kind, j.errors,
              j.attempt = 1 and j.errors is null as is_first
),
together as materialized (
    select attempted_at, kind, queue, min(id) as first_id, max(id) as last_id,
           array_agg(id) as ids, array_agg(enqueued_at) as enqueued_at
      from ended
     where is_first
     group by attempted_at, kind, queue
    having count(*) >= 16
),
packed as (
    insert into callboard.history_batches (node, attempted_at, first_id, last_id, queue, kinds, ids, enqueued_at)
    select $1, attempted_at, first_id, last_id, queue, array[kind], ids, enqueued_at from together
),
logged as (
    insert into callboard.history (id, enqueued_at, attempted_at, node, attempt, state, queue, kind, errors)
    select id, enqueued_at, attempted_at, node, attempt, 'completed', queue, kind, errors
      from ended
     where not (is_first and (attempted_at, kind, queue) in (select attempted_at, kind, queue from together))
)
select coalesce(array_agg(id), '{}') from ended
