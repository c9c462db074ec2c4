-- As claim.sql, for a queue with limits; see the function in the migrations.
select id, attempt, kind, priority, failures, deaths, max_attempts, time_limit_ms, backoff,
       enqueued_at, args_version, args_fingerprint, args, ordering_key, is_limited, attempted_at, due_at, traceparent
  from callboard.claim_limited($1, $2, $3, $4, $5, $6)
