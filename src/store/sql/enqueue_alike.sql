-- As enqueue, for calls that differ in their arguments ($11) alone, are for now and have no ordering key, as most
-- do that come together: without the lists a row takes the server a sixth less.
--
-- What they have in common is checked by the domains of its columns here, once, and not again for every row.
with enqueued as (
    insert into callboard.jobs
           (queue, kind, state, priority, max_attempts, time_limit_ms, backoff, args_version, args_fingerprint,
            limit_key, traceparent, enqueued_at, args)
    select queue, kind, state, priority, max_attempts, time_limit_ms, backoff, args_version, args_fingerprint,
           limit_key, traceparent, now, unnest($11::bytea[])
      from (select $1::text::callboard.queue_name as queue, $2::text::callboard.kind_name as kind,
                   text 'available' collate "C" as state, $3::smallint as priority, $4::smallint as max_attempts,
                   $5::bigint as time_limit_ms, $6::text::jsonb as backoff, $7::integer as args_version,
                   $8::bigint as args_fingerprint, $9::text::callboard.job_key as limit_key,
                   $10::text::callboard.traceparent as traceparent, clock_timestamp() as now offset 0) as given
    returning id
)
select coalesce(array_agg(id), '{}') from enqueued
