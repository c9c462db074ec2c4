-- The jobs of a queue that this node holds by its row but not in its hands: a claim whose answer was
-- lost. ($3, $4: the attempts in its hands. An earlier attempt of the same job may still be among them,
-- if the answer to its settlement is on its way.) They are handed out like freshly claimed ones.
select id, attempt, kind, priority, args_version, args_fingerprint, args, enqueued_at, attempted_at,
       case when num_nonnulls(max_attempts, time_limit_ms, backoff, ordering_key, due_at, traceparent) > 0
              or failures > 0 or deaths > 0 or is_limited
            then row(failures, deaths, max_attempts, time_limit_ms, backoff, ordering_key, is_limited, due_at,
                     traceparent) end,
       ctid
  from callboard.jobs
 where state = 'executing' and node = $1 and queue = $2
   and (id, attempt) not in (select * from unnest($3::bigint[], $4::integer[]))
 order by priority, id
