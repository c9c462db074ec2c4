-- Charges the death of a process to the jobs that it may have begun in the express lane: those that these
-- batches ($1) name, and those of condemned nodes and, if $2, of nodes that are on no list. Some may have been
-- claimed since. As in rescue.sql, a suspect that the node ran is to blame alone, and who has $3 deaths is
-- quarantined, with the fingerprint $4, and what of its kind has failed on the node that buries it ($5).
--
-- What is locked is passed over, and left for another time: it may be that the node lives after all.
with dead as materialized (
    select b.batch, b.node, b.ids, b.attempts, coalesce(n.name, b.node::text) as node_name
      from callboard.express_batches b left join callboard.nodes n on n.id = b.node
     where not b.is_disowned
       and (b.batch = any($1::bigint[]) or n.condemned_at is not null or $2 and n.id is null)
       for update of b skip locked
),
named as materialized (
    select d.batch, d.node, d.node_name, named.id, named.attempt
      from dead d, unnest(d.ids, d.attempts) as named (id, attempt)
),
there as materialized (
    select id from callboard.jobs where id = any(array(select id from named))
),
free as materialized (
    select j.id, j.state, j.attempt, j.deaths
      from callboard.jobs j
     where j.id = any(array(select id from there))
     order by j.id
       for update of j skip locked
),
guilty as materialized (
    select distinct node from callboard.jobs
     where state = 'executing' and deaths > 0 and node = any(array(select node from dead))
),
charged as materialized (
    select f.id, f.deaths + count(*)::integer as deaths, greatest(f.attempt, max(n.attempt)) as attempt,
           case when f.deaths + count(*) >= $3 and f.state <> 'executing' then 'quarantined' else 'rescued' end as fate,
           'the process ' || min(n.node_name) || ' died while it held this job' as message,
           jsonb_agg(jsonb_build_object('kind', 'process_died', 'at', clock_timestamp(), 'attempt', n.attempt,
               'message', 'the process ' || n.node_name || ' died while it held this job')) as errors
      from named n join free f on f.id = n.id
     where n.node not in (select node from guilty)
     group by f.id, f.deaths, f.attempt, f.state
),
rescued as (
    update callboard.jobs j
       set deaths = c.deaths, attempt = c.attempt, errors = coalesce(j.errors, '[]') || c.errors,
           due_at = case j.state when 'available' then clock_timestamp() else j.due_at end
      from charged c
     where j.id = c.id and c.fate = 'rescued'
    returning j.id, j.queue, j.priority, c.fate, j.kind, j.attempt, null::text as message
),
ended as (
    delete from callboard.jobs j
     using charged c
     where j.id = c.id and c.fate = 'quarantined'
    returning j.*, c.deaths as all_deaths, c.attempt as last_attempt, c.fate, c.message,
              coalesce(j.errors, '[]') || c.errors as all_errors
),
buried as (
    insert into callboard.dead_letters
           (id, args_fingerprint, enqueued_at, attempted_at, node, time_limit_ms, attempt, failures,
            deaths, args_version, priority, max_attempts, reason, queue, kind, ordering_key,
            limit_key, backoff, error_fingerprint, errors, diagnostics, traceparent, args)
    select id, args_fingerprint, enqueued_at, attempted_at, node, time_limit_ms, last_attempt, failures,
           all_deaths, args_version, priority, max_attempts, 'quarantined', queue, kind, ordering_key,
           limit_key, backoff,
           $4, all_errors, jsonb_strip_nulls(jsonb_build_object('recent_errors', $5::jsonb -> kind)), traceparent, args
      from ended
),
left_over as (
    select n.batch, array_agg(n.id) as ids, array_agg(n.attempt) as attempts
      from named n
     where n.id in (select id from there) and n.id not in (select id from free)
     group by n.batch
),
settled as (
    update callboard.express_batches b
       set ids = coalesce(l.ids, '{}'), attempts = coalesce(l.attempts, '{}'), is_disowned = l.batch is null
      from dead d left join left_over l on l.batch = d.batch
     where b.batch = d.batch
)
select id, queue, priority, fate, kind, attempt, message from rescued
union all
select id, queue, priority, fate, kind, last_attempt, message from ended
