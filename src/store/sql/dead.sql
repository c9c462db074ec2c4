-- The dead letters that a filter names, newest id first.
select id, queue, kind, reason, attempt, failures, deaths, enqueued_at, buried_at, errors, diagnostics,
       args_version, args_fingerprint, args
  from callboard.dead_letters
 where ($1::bigint[] is null or id = any($1))
   and ($2::text is null or kind = $2)
   and ($3::text is null or queue = $3)
   and ($4::text is null or reason = $4)
 order by id desc
 limit $5
