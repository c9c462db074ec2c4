-- How many dead letters a filter names, and the moment for which that is true.
select count(*), statement_timestamp()
  from callboard.dead_letters
 where ($1::bigint[] is null or id = any($1))
   and ($2::text is null or kind = $2)
   and ($3::text is null or queue = $3)
   and ($4::text is null or reason = $4)
   and ($5::bigint is null or error_fingerprint = $5)
   and ($6::bigint is null or buried_at < clock_timestamp() - $6 * interval '1 millisecond')
