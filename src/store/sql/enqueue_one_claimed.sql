-- As enqueue_claimed, for a single call that is wanted, as most come where somebody waits: without the lists it takes
-- half the time. Only for a call that is for now, and has no ordering key.
insert into callboard.jobs
       (queue, kind, priority, max_attempts, time_limit_ms, backoff, args_version, args_fingerprint, args,
        limit_key, traceparent, enqueued_at, state, is_ready, attempt, node, attempted_at)
select $1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9, $10, $11, now,
       case when is_claimed then 'executing' else 'available' end, case when not is_claimed then true end,
       case when is_claimed then 1 else 0 end, case when is_claimed then $12 end, case when is_claimed then now end
  from (select clock_timestamp() as now,
               not exists (select from callboard.limits where queue = $1)
               -- Null: nobody waits.
               and ($3 < callboard.first_waiting($1, $13, $14)) is not false as is_claimed) as given
returning id, state = 'executing', enqueued_at, ctid
