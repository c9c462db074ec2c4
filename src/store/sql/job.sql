-- Where a job stands, wherever it lies. The history is looked at last, and only if need be.
select id, queue, kind, state, priority, attempt, failures, deaths, enqueued_at,
       case when state in ('scheduled', 'retryable') then due_at end as due_at, attempted_at,
       null::timestamptz as finished_at, null::jsonb as output, errors, null::text as reason, node,
       args_version, args_fingerprint, args, ordering_key, limit_key, is_behind,
       progress_done, progress_of, progress_message, progress_attempt, progressed_at, saved_at
  from callboard.jobs left join callboard.checkpoints using (id) where id = $1
union all
select id, queue, kind, 'dead', priority, attempt, failures, deaths, enqueued_at, null, attempted_at,
       buried_at, null, errors, reason, node, args_version, args_fingerprint, args, ordering_key, limit_key, false,
       progress_done, progress_of, progress_message, progress_attempt, progressed_at, saved_at
  from callboard.dead_letters left join callboard.checkpoints using (id) where id = $1
union all
select id, queue, kind, state, null, attempt, null, null, enqueued_at, null, attempted_at,
       finished_at, output, errors, null, node, null, null, null, null, null, false,
       null, null, null, null, null, null
  from callboard.finished_jobs where id = $1 and $1 between first_id and last_id
