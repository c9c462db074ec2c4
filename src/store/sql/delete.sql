-- Deletes up to $9 dead letters, the oldest ids above $8 first, of those that were buried until $7, with
-- what their jobs have left on their way.
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
passed as (
    delete from callboard.checkpoints where id = any(array(select id from chosen))
)
delete from callboard.dead_letters d using chosen c where d.id = c.id
returning d.id
