-- Inserts calls, in their order, and answers with their ids in the same order.
-- A job with an ordering key is behind if one with that key is unfinished, or comes before it in this
-- very statement ($13).
-- The time of a delay starts here, by the database's clock. A time that has passed means: now.
insert into callboard.jobs
       (queue, kind, state, priority, max_attempts, time_limit_ms, backoff,
       args_version, args_fingerprint, due_at, args, ordering_key, limit_key, is_behind, traceparent)
select queue, kind,
       case when due_at > now then 'scheduled' else 'available' end,
       priority, max_attempts, time_limit_ms, backoff::jsonb, args_version, args_fingerprint,
       case when due_at > now then due_at end,
       args, ordering_key, limit_key,
       ordering_key is not null
           and (is_repeated or callboard.is_key_taken(queue, ordering_key)),
       traceparent
  from (select timed.*,
               coalesce(timestamptz 'epoch' + at_us * interval '1 microsecond',
                        now + after_ms * interval '1 millisecond') as due_at
          from (select call.*, clock_timestamp() as now
                  from unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[], $5::bigint[],
                              $6::text[], $7::integer[], $8::bigint[], $9::bigint[], $10::bigint[],
                              $11::bytea[], $12::text[], $13::boolean[], $14::text[], $15::text[])
                       as call (queue, kind, priority, max_attempts, time_limit_ms, backoff,
                                args_version, args_fingerprint, after_ms, at_us, args, ordering_key,
                                is_repeated, limit_key, traceparent)) as timed) as due
returning id
