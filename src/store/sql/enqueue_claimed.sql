-- As enqueue, and claims at once for a node ($17) those that it has asked for ($16): they are its own from
-- their birth, at attempt 1. Answers, in the order of the calls, with the ids, whether they are claimed,
-- when they were enqueued, and where their rows are.
--
-- Claim order holds: nobody is claimed here while a job of its queue that is as urgent or more waits for a
-- node that can run it ($18 and $20 side by side: the kinds of this one, and what it reads of each). Whoever
-- waits has a smaller id, so the priority of the first tells. It is asked once for each queue in question ($19).
-- In a queue with limits nobody is claimed here: those are counted by its claims.
--
-- ($19) stands in a query of its own, so that the planner guesses its length and does not look: seeing that it
-- is short, it took a plan made for these values for so much better than the one it could keep that it made a
-- new one each time, which takes longer than to run it.
with waiting as materialized (
    select queue,
           case when exists (select from callboard.limits l where l.queue = wanted.queue) then -32768
                else callboard.first_waiting(queue, $18::text[], $20::integer[]) end as priority
      from unnest((select $19::text[])) as wanted (queue)
),
enqueued as (
    insert into callboard.jobs
           (queue, kind, state, priority, max_attempts, time_limit_ms, backoff,
            args_version, args_fingerprint, due_at, is_ready, has_turn, args, ordering_key, limit_key, is_behind,
            enqueued_at, attempt, node, attempted_at, traceparent)
    select queue, kind,
           case when is_claimed then 'executing' when due_at > now then 'scheduled' else 'available' end,
           priority, max_attempts, time_limit_ms, backoff::jsonb, args_version, args_fingerprint,
           case when due_at > now then due_at end,
           case when not is_claimed then due_at is null or due_at <= now end, is_claimed and ordering_key is not null,
           args, ordering_key, limit_key,
           ordering_key is not null
               and (is_repeated or callboard.is_key_taken(queue, ordering_key)),
           now, case when is_claimed then 1 else 0 end,
           case when is_claimed then $17::bigint end, case when is_claimed then now end, traceparent
      from (select call.*,
                   is_wanted
                       and (select w.priority is null or call.priority < w.priority
                              from waiting w where w.queue = call.queue) as is_claimed,
                   coalesce(timestamptz 'epoch' + at_us * interval '1 microsecond',
                            now + after_ms * interval '1 millisecond') as due_at
              from (select coalesce(queue, queues[1]) as queue, coalesce(kind, kinds[1]) as kind,
                           coalesce(priority, priorities[1]) as priority, max_attempts, time_limit_ms, backoff,
                           coalesce(args_version, versions[1]) as args_version,
                           coalesce(args_fingerprint, fingerprints[1]) as args_fingerprint, after_ms, at_us,
                           args, ordering_key, coalesce(is_repeated, are_repeated[1]) as is_repeated, limit_key, traceparent,
                           coalesce(is_wanted, are_wanted[1]) as is_wanted, now
                      from (select unnest(queues) as queue, unnest(kinds) as kind, unnest(priorities) as priority,
                                   unnest($4::smallint[]) as max_attempts, unnest($5::bigint[]) as time_limit_ms,
                                   unnest($6::text[]) as backoff, unnest(versions) as args_version,
                                   unnest(fingerprints) as args_fingerprint, unnest($9::bigint[]) as after_ms,
                                   unnest($10::bigint[]) as at_us, unnest($11::bytea[]) as args,
                                   unnest($12::text[]) as ordering_key, unnest(are_repeated) as is_repeated,
                                   unnest($14::text[]) as limit_key, unnest($15::text[]) as traceparent,
                                   unnest(are_wanted) as is_wanted,
                                   queues, kinds, priorities, versions, fingerprints, are_repeated, are_wanted,
                                   (select clock_timestamp()) as now
                              from (select $1::text[] as queues, $2::text[] as kinds, $3::smallint[] as priorities,
                                           $7::integer[] as versions, $8::bigint[] as fingerprints,
                                           $13::boolean[] as are_repeated, $16::boolean[] as are_wanted) as given) as each) as call) as due
    returning id, state = 'executing' as is_claimed, enqueued_at, ctid
)
select coalesce(array_agg(id), '{}'), coalesce(array_agg(is_claimed), '{}'), coalesce(array_agg(enqueued_at), '{}'),
       coalesce(array_agg(ctid), '{}')
  from enqueued
