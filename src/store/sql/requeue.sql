-- Brings up to $9 dead jobs back with a fresh budget, the oldest ids above $8 first. Their attempts go on
-- counting and their errors stay. Who was buried after $7, because it has failed again, say, stays there.
with chosen as materialized (
    select id from callboard.dead_letters
     where ($1::bigint[] is null or id = any($1::bigint[]))
       and ($2::text is null or kind = $2::text)
       and ($3::text is null or queue = $3::text)
       and ($4::text is null or reason = $4::text)
       and ($5::bigint is null or error_fingerprint = $5)
       and ($6::bigint is null or buried_at < clock_timestamp() - $6 * interval '1 millisecond')
       and buried_at <= coalesce($7::timestamptz, 'infinity')
       and id > $8::bigint
     order by id
     limit $9
       for update skip locked
),
risen as (
    delete from callboard.dead_letters d using chosen c where d.id = c.id returning d.*
)
insert into callboard.jobs
       (id, args_fingerprint, enqueued_at, due_at, time_limit_ms, attempt, args_version, priority, max_attempts,
        state, queue, kind, ordering_key, limit_key, backoff, errors, traceparent, args)
select id, args_fingerprint, enqueued_at, clock_timestamp(), time_limit_ms, attempt, args_version, priority, max_attempts,
       'available', queue, kind, ordering_key, limit_key, backoff, errors, traceparent, args
  from risen
 order by id
returning id, queue, priority
