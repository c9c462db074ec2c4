-- Makes ordinary executing jobs of a node ($1) of those that a transaction of the express lane holds ($2), for
-- $3 microseconds by now.
update callboard.jobs
   set state = 'executing', attempt = attempt + 1, node = $1, is_ready = null,
       has_turn = ordering_key is not null,
       attempted_at = clock_timestamp() - $3::bigint * interval '1 microsecond'
 where id = any($2::bigint[])
