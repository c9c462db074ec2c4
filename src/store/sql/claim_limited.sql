-- As claim.sql, for a queue with limits; see the function in the migrations.
select id, attempt, kind, priority, args_version, args_fingerprint, args, enqueued_at, attempted_at,
       case when num_nonnulls(max_attempts, time_limit_ms, backoff, ordering_key, due_at, traceparent) > 0
              or failures > 0 or deaths > 0 or is_limited
            then row(failures, deaths, max_attempts, time_limit_ms, backoff, ordering_key, is_limited, due_at,
                     traceparent) end,
       lies_at
  from (select lies_at, (job).* from callboard.claim_limited($1, $2, $3, $4, $5, $6)) as claimed
