-- Where a job stands, wherever it lies. The history is looked at last, and only if need be.
select id, queue, kind, state, priority, attempt, failures, deaths, enqueued_at,
       case when state in ('scheduled', 'retryable') then due_at end as due_at, attempted_at,
       null::timestamptz as finished_at, null::jsonb as output, errors, null::text as reason, node,
       args_version, args_fingerprint, args, ordering_key, is_behind
  from callboard.jobs where id = $1
union all
select id, queue, kind, 'dead', priority, attempt, failures, deaths, enqueued_at, null, attempted_at,
       buried_at, null, errors, reason, node, args_version, args_fingerprint, args, ordering_key, false
  from callboard.dead_letters where id = $1
union all
select id, queue, kind, state, null, attempt, null, null, enqueued_at, null, attempted_at,
       finished_at, output, errors, null, node, null, null, null, null, false
  from callboard.history where id = $1
