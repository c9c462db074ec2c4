-- What the live nodes have told last of their workers, the oldest node first.
select n.id, n.name, r.reported_at, r.workers
  from callboard.nodes n join callboard.node_reports r on r.node = n.id
 where n.condemned_at is null and n.lease_until > clock_timestamp()
 order by n.started_at, n.id
