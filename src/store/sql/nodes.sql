-- Every node on the list, the oldest first. Counting what they execute reads the whole table of
-- unfinished jobs; this is for people.
with busy as (
    select node, count(*) as executing from callboard.jobs where state = 'executing' group by node
)
select n.id, n.name, n.version, n.started_at, n.lease_until,
       n.condemned_at is null and n.lease_until > clock_timestamp(),
       n.queues, n.kinds, n.args_versions, n.code_versions, coalesce(b.executing, 0)
  from callboard.nodes n left join busy b on b.node = n.id
 order by n.started_at, n.id
