-- Of the attempts that a node has in its hands: which are no longer its own, and which somebody
-- asked to cancel.
select a.id, a.attempt, j.id is null as is_lost
  from unnest($2::bigint[], $3::integer[]) as a (id, attempt)
  left join callboard.jobs j
    on j.id = a.id and j.attempt = a.attempt and j.state = 'executing' and j.node = $1
 where j.id is null or j.cancel_requested_at is not null
