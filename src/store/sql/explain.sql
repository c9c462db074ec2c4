-- Everything that says why a job ($1) does not run, in one row and one snapshot; no row: there is no such
-- job. $2: the largest count. The history is read last, and only if need be.
with found as (
    (select 'job' as place, id, queue, kind, state, priority, attempt, failures, deaths, due_at,
            due_at <= clock_timestamp() as is_due, attempted_at as at, node, ordering_key,
            cancel_requested_at is not null as is_cancelling, errors, args_version
       from callboard.jobs where id = $1)
    union all
    (select 'dead', id, queue, kind, reason, priority, attempt, failures, deaths, null,
            null, buried_at, node, null, false, errors, args_version
       from callboard.dead_letters where id = $1)
    union all
    (select 'history', id, queue, kind, state, 0::smallint, attempt, 0, 0, null,
            null, finished_at, node, null, false, errors, 0
       from callboard.finished_jobs where id = $1 and $1 between first_id and last_id)
    limit 1
),
live as (
    select id, queues, kinds, args_versions from callboard.nodes
     where condemned_at is null and lease_until > clock_timestamp()
),
serving as (
    select l.id, f.kind = any(l.kinds) as is_known,
           l.args_versions[array_position(l.kinds, f.kind)] as reads,
           callboard.can_run(f.kind, f.args_version, l.kinds, l.args_versions) as is_able,
           exists (select from callboard.queue_settings o
                    where o.queue = f.queue and o.node = l.id and o.mode <> 'running') as is_halted
      from live l join found f on f.place = 'job' and f.queue = any(l.queues)
),
-- Of a key one job runs, in the order of their ids; see claim.sql.
before as (
    select e.id, e.state
      from callboard.jobs e join found f on e.queue = f.queue and e.ordering_key = f.ordering_key
     where e.id <> f.id and (e.id < f.id or e.state = 'executing')
     order by e.state = 'executing' desc, e.id
     limit 1
)
select f.place, f.queue, f.kind, f.state, f.attempt,
       f.failures, f.deaths, f.due_at, f.is_due, f.at,
       f.node, n.name, coalesce(n.id in (select id from live), false), f.is_cancelling, f.errors -> -1 ->> 'message',
       f.ordering_key, b.id, b.state,
       s.mode, s.mode_since, s.reason, s.ordered_by,
       f.args_version, (select max(reads) from serving),
       (select count(*) from serving),
       (select count(*) from serving where is_known),
       (select count(*) from serving where is_able),
       (select count(*) from serving where is_able and not is_halted),
       (select count(*) from (select from callboard.jobs j
                               where j.queue = f.queue and j.is_ready and j.state = 'available' and not j.is_behind
                                 and (j.priority, j.id) < (f.priority, f.id) and f.state = 'available'
                               limit $2) as capped)
  from found f
  left join callboard.nodes n on n.id = f.node
  left join before b on true
  left join callboard.queue_settings s on s.queue = f.queue and s.node = 0
