-- The dead letters that a filter names, the last buried first. ($7, $8) is the letter that the page comes
-- after, if it is not the first one.
select id, queue, kind, reason, attempt, failures, deaths, enqueued_at, attempted_at, buried_at,
       node, priority, max_attempts, ordering_key, error_fingerprint, errors, diagnostics,
       args_version, args_fingerprint, args
  from callboard.dead_letters
 where ($1::bigint[] is null or id = any($1))
   and ($2::text is null or kind = $2)
   and ($3::text is null or queue = $3)
   and ($4::text is null or reason = $4)
   and ($5::bigint is null or error_fingerprint = $5)
   and ($6::bigint is null or buried_at < clock_timestamp() - $6 * interval '1 millisecond')
   and (buried_at, id) < (coalesce($7::timestamptz, 'infinity'), coalesce($8::bigint, 9223372036854775807))
 order by buried_at desc, id desc
 limit $9
