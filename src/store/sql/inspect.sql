-- Of the attempts that a node has in its hands: which are no longer its own, and which somebody
-- asked to cancel.
--
-- By id = any(...), so that only these rows are read however full the table is: a join may read it all.
with held as materialized (
    select id, attempt, cancel_requested_at
      from callboard.jobs
     where id = any($2::bigint[]) and node = $1 and state = 'executing'
)
select a.id, a.attempt, h.id is null as is_lost
  from unnest($2::bigint[], $3::integer[]) as a (id, attempt)
  left join held h on h.id = a.id and h.attempt = a.attempt
 where h.id is null or h.cancel_requested_at is not null
