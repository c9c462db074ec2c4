-- The groups of dead letters that a filter names, the largest first, each with the last error of the letter
-- that was buried last.
select g.kind, g.error_fingerprint, g.letters, g.first_buried_at, g.last_buried_at,
       sample.id, coalesce(sample.errors -> -1 ->> 'kind', ''), coalesce(sample.errors -> -1 ->> 'message', '')
  from (select kind, error_fingerprint, count(*) as letters,
               min(buried_at) as first_buried_at, max(buried_at) as last_buried_at
          from callboard.dead_letters
         where ($1::bigint[] is null or id = any($1))
           and ($2::text is null or kind = $2)
           and ($3::text is null or queue = $3)
           and ($4::text is null or reason = $4)
           and ($5::bigint is null or error_fingerprint = $5)
           and ($6::bigint is null or buried_at < clock_timestamp() - $6 * interval '1 millisecond')
         group by kind, error_fingerprint
         order by count(*) desc, max(buried_at) desc
         limit $7) as g,
       lateral (select d.id, d.errors
                  from callboard.dead_letters d
                 where d.kind = g.kind and d.error_fingerprint = g.error_fingerprint
                   and d.buried_at = g.last_buried_at
                 order by d.id desc
                 limit 1) as sample
 order by g.letters desc, g.last_buried_at desc
