-- As claim.sql, for the express lane: gives jobs to whoever's transaction this is, by their locks and for as
-- long as it is open. Nothing is written, so an end of the transaction, however it comes, gives them back. The
-- attempt is the one that begins.
--
-- A deleted row would lose whoever waits for its lock in order to cancel it; so jobs are deleted when they are
-- done (finish.sql), by the places of their rows, which nobody can move meanwhile.
select id, attempt + 1, kind, priority, args_version, args_fingerprint, args, enqueued_at, clock_timestamp(),
       case when num_nonnulls(max_attempts, time_limit_ms, backoff, ordering_key, due_at, traceparent) > 0
              or failures > 0 or deaths > 0 or is_limited
            then row(failures, deaths, max_attempts, time_limit_ms, backoff, ordering_key, is_limited, due_at,
                     traceparent) end, ctid
  from (select ctid, * from callboard.jobs j
         where not exists (select from callboard.limits where queue = $1)
           and queue = $1 and is_ready and state = 'available' and not is_behind and deaths = 0
           and callboard.can_run(kind, args_version, $2, $7)
           and (priority, id) > ($3, $4)
           and (ordering_key is null
                or not (exists (select from callboard.jobs e
                                 where e.queue = $1 and e.ordering_key = j.ordering_key and e.id < j.id)
                     or exists (select from callboard.jobs e
                                 where e.queue = $1 and e.ordering_key = j.ordering_key and e.has_turn)))
         order by priority, id
         limit $5
           for update skip locked) as plain
union all
select id, attempt + 1, kind, priority, args_version, args_fingerprint, args, enqueued_at, clock_timestamp(),
       case when num_nonnulls(max_attempts, time_limit_ms, backoff, ordering_key, due_at, traceparent) > 0
              or failures > 0 or deaths > 0 or is_limited
            then row(failures, deaths, max_attempts, time_limit_ms, backoff, ordering_key, is_limited, due_at,
                     traceparent) end, ctid
  from (select ctid, * from callboard.jobs j
         where not exists (select from callboard.limits where queue = $1)
           and queue = $1 and is_ready and state = 'available' and not is_behind and deaths > 0
           and callboard.can_run(kind, args_version, $2, $7)
           and (ordering_key is null
                or not (exists (select from callboard.jobs e
                                 where e.queue = $1 and e.ordering_key = j.ordering_key and e.id < j.id)
                     or exists (select from callboard.jobs e
                                 where e.queue = $1 and e.ordering_key = j.ordering_key and e.has_turn)))
         order by priority, id
         limit $6
           for update skip locked) as suspect
