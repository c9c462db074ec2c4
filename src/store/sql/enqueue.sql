-- Inserts calls, in their order, and answers with their ids in the same order.
--
-- The columns come as arrays, of one element where all calls have the same, and of none where no call has any:
-- only the arguments ($11) are as many as the calls. Side by side in one list, an unnest that has ended goes on
-- with nulls, and none of them is put aside first, as it would be in the from clause.
-- A job with an ordering key is behind if one with that key is unfinished, or comes before it in this
-- very statement ($13).
-- The time of a delay starts here, by the database's clock. A time that has passed means: now.
with enqueued as (
    insert into callboard.jobs
           (queue, kind, state, priority, max_attempts, time_limit_ms, backoff,
           args_version, args_fingerprint, due_at, is_ready, args, ordering_key, limit_key, is_behind, traceparent)
    select queue, kind,
           case when due_at > now then 'scheduled' else 'available' end,
           priority, max_attempts, time_limit_ms, backoff::jsonb, args_version, args_fingerprint,
           case when due_at > now then due_at end, due_at is null or due_at <= now, args, ordering_key, limit_key,
           ordering_key is not null
               and (is_repeated or callboard.is_key_taken(queue, ordering_key)),
           traceparent
      from (select coalesce(queue, queues[1]) as queue, coalesce(kind, kinds[1]) as kind,
                   coalesce(priority, priorities[1]) as priority, max_attempts, time_limit_ms, backoff,
                   coalesce(args_version, versions[1]) as args_version,
                   coalesce(args_fingerprint, fingerprints[1]) as args_fingerprint,
                   args, ordering_key, coalesce(is_repeated, are_repeated[1]) as is_repeated, limit_key, traceparent, now,
                   coalesce(timestamptz 'epoch' + at_us * interval '1 microsecond',
                            now + after_ms * interval '1 millisecond') as due_at
              from (select unnest(queues) as queue, unnest(kinds) as kind, unnest(priorities) as priority,
                           unnest($4::smallint[]) as max_attempts, unnest($5::bigint[]) as time_limit_ms,
                           unnest($6::text[]) as backoff, unnest(versions) as args_version,
                           unnest(fingerprints) as args_fingerprint, unnest($9::bigint[]) as after_ms,
                           unnest($10::bigint[]) as at_us, unnest($11::bytea[]) as args,
                           unnest($12::text[]) as ordering_key, unnest(are_repeated) as is_repeated,
                           unnest($14::text[]) as limit_key, unnest($15::text[]) as traceparent,
                           queues, kinds, priorities, versions, fingerprints, are_repeated,
                           (select clock_timestamp()) as now
                      from (select $1::text[] as queues, $2::text[] as kinds, $3::smallint[] as priorities,
                                   $7::integer[] as versions, $8::bigint[] as fingerprints,
                                   $13::boolean[] as are_repeated) as given) as call) as due
    returning id
)
select coalesce(array_agg(id), '{}') from enqueued
