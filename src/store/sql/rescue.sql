-- Takes back the jobs of condemned nodes, and of nodes that are on no list ($1: also look for these).
--
-- No index tells who executes what, since each claim would pay for it; so this reads the whole table, page by page.
-- Rows may be locked in any order: what others have locked is not waited for.
--
-- The death is charged to the job that was running as a suspect, if there was one: suspects run
-- alone, so it is to blame. Otherwise everybody who ran becomes a suspect. Who has $2 deaths is
-- quarantined, with the fingerprint $3 that all such errors share, and what of its kind has failed on the
-- node that buries it ($4).
with dead as materialized (
    select id, name from callboard.nodes where condemned_at is not null for update skip locked
),
orphan as materialized (
    select j.id, j.node, j.deaths, j.cancel_requested_at is not null as is_cancelled
      from callboard.jobs j
     where j.state = 'executing'
       and (j.node in (select id from dead)
            or ($1 and not exists (select from callboard.nodes n where n.id = j.node)))
       for update of j skip locked
),
verdict as materialized (
    select o.id, o.is_cancelled, coalesce(d.name, o.node::text) as node_name,
           o.deaths + case when o.deaths > 0 or not bool_or(o.deaths > 0) over (partition by o.node)
                           then 1 else 0 end as deaths
      from orphan o left join dead d on d.id = o.node
),
charged as materialized (
    select v.id, v.deaths,
           case when v.is_cancelled then 'cancelled' when v.deaths >= $2 then 'quarantined' else 'rescued' end as fate,
           jsonb_build_object('kind', 'process_died', 'at', clock_timestamp(),
               'message', 'the process ' || v.node_name || ' died while it held this job') as failure
      from verdict v
),
rescued as (
    update callboard.jobs j
       set state = 'available', is_ready = true, has_turn = false, is_limited = false, node = null, deaths = c.deaths, due_at = clock_timestamp(),
           errors = coalesce(j.errors, '[]') || (c.failure || jsonb_build_object('attempt', j.attempt))
      from charged c
     where j.id = c.id and c.fate = 'rescued'
    returning j.id, j.queue, j.priority, c.fate, j.kind, j.attempt, null::text as message
),
ended as (
    delete from callboard.jobs j
     using charged c
     where j.id = c.id and c.fate <> 'rescued'
    returning j.*, c.deaths as all_deaths, c.fate, c.failure ->> 'message' as message,
              coalesce(j.errors, '[]') || (c.failure || jsonb_build_object('attempt', j.attempt)) as all_errors
),
buried as (
    insert into callboard.dead_letters
           (id, args_fingerprint, enqueued_at, attempted_at, node, time_limit_ms, attempt, failures,
            deaths, args_version, priority, max_attempts, reason, queue, kind, ordering_key,
            limit_key, backoff, error_fingerprint, errors, diagnostics, traceparent, args)
    select id, args_fingerprint, enqueued_at, attempted_at, node, time_limit_ms, attempt, failures,
           all_deaths, args_version, priority, max_attempts, 'quarantined', queue, kind, ordering_key,
           limit_key, backoff,
           $3, all_errors, jsonb_strip_nulls(jsonb_build_object('recent_errors', $4::jsonb -> kind)), traceparent, args
      from ended
     where fate = 'quarantined'
),
logged as (
    -- Somebody had asked for its cancellation; nobody has to run it again for that.
    insert into callboard.history
           (id, enqueued_at, attempted_at, node, attempt, state, queue, kind, errors)
    select id, enqueued_at, attempted_at, node, attempt, 'cancelled', queue, kind, all_errors
      from ended
     where fate = 'cancelled'
),
passed as (
    delete from callboard.checkpoints
     where id = any(array(select id from ended where fate = 'cancelled'))
),
forgotten as (
    -- A node leaves the list when nothing is found in its name any more. What this statement takes
    -- back still counts, so that is the next sweep at the earliest; and rows that somebody else had
    -- locked are found by then.
    delete from callboard.nodes n
     where n.id in (select id from dead)
       and not exists (select from callboard.jobs j where j.state = 'executing' and j.node = n.id)
       -- What it may have begun in the express lane is to be charged first (charge.sql).
       and not exists (select from callboard.express_batches b where b.node = n.id and not b.is_disowned)
)
select id, queue, priority, fate, kind, attempt, message from rescued
union all
select id, queue, priority, fate, kind, attempt, message from ended
