-- The unfinished jobs that a filter names, oldest id first.
select id, queue, kind, state, priority, attempt, failures, deaths, enqueued_at,
       case when state in ('scheduled', 'retryable') then due_at end as due_at, attempted_at,
       null::timestamptz as finished_at, null::jsonb as output, errors, null::text as reason, node,
       args_version, args_fingerprint, args, ordering_key, limit_key, is_behind,
       progress_done, progress_of, progress_message, progress_attempt, progressed_at, saved_at
  from callboard.jobs left join callboard.checkpoints using (id)
 where ($1::text is null or kind = $1)
   and ($2::text is null or queue = $2)
   and ($3::text is null or state = $3)
 order by id
 limit $4
