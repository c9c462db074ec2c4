-- Gives up to $6 available jobs of a queue to a node, the most urgent and oldest first, and up to $7
-- suspects (jobs under which a process died), which run alone.
--
-- A job with an ordering key comes when no earlier one of its key is unfinished. Few are asked: those
-- that wait for their turn are not in the index (see unblock.sql).
--
-- Nothing comes of a queue with limits: those are counted by claim_limited.sql.
--
-- = any(array(...)) is evaluated once; IN (SELECT ... LIMIT) can be re-run and overshoot.
-- What may come is a plain expression (see can_run in the migrations), so it is put into the place of the call.
-- What few jobs have comes together in the last column, which is null for all others: a column costs this
-- server and the node more than it holds.
-- Of jobs that are done soon ($9) the claim leaves what indexes ask for as it is, so that it changes rows in their
-- places; they are passed over by their state until then. Others leave the index.
-- The state is a literal, so that the partial indexes serve. ($4, $5) is a lower bound that spares
-- the walk over entries of dead and executing jobs; it is a hint and left out (the smallest values) now and then.
update callboard.jobs
   set state = 'executing', attempt = attempt + 1, node = $1, has_turn = ordering_key is not null,
       is_ready = case when $9 then is_ready end, attempted_at = (select clock_timestamp())
 where ctid = any(
       array(select j.ctid from callboard.jobs j
              where not exists (select from callboard.limits where queue = $2)
                and queue = $2 and is_ready and state = 'available' and not is_behind and deaths = 0
                and callboard.can_run(kind, args_version, $3, $8)
                and (priority, id) > ($4, $5)
                and (ordering_key is null
                     or not (exists (select from callboard.jobs e
                                      where e.queue = $2 and e.ordering_key = j.ordering_key and e.id < j.id)
                          or exists (select from callboard.jobs e
                                      where e.queue = $2 and e.ordering_key = j.ordering_key and e.has_turn)))
              order by priority, id
              limit $6
                for update skip locked)
    || array(select j.ctid from callboard.jobs j
              where not exists (select from callboard.limits where queue = $2)
                and queue = $2 and is_ready and state = 'available' and not is_behind and deaths > 0
                and callboard.can_run(kind, args_version, $3, $8)
                and (ordering_key is null
                     or not (exists (select from callboard.jobs e
                                      where e.queue = $2 and e.ordering_key = j.ordering_key and e.id < j.id)
                          or exists (select from callboard.jobs e
                                      where e.queue = $2 and e.ordering_key = j.ordering_key and e.has_turn)))
              order by priority, id
              limit $7
                for update skip locked))
returning id, attempt, kind, priority, args_version, args_fingerprint, args, enqueued_at, attempted_at,
          case when num_nonnulls(max_attempts, time_limit_ms, backoff, ordering_key, due_at, traceparent) > 0
                 or failures > 0 or deaths > 0 or is_limited
               then row(failures, deaths, max_attempts, time_limit_ms, backoff, ordering_key, is_limited, due_at,
                        traceparent) end,
          ctid
