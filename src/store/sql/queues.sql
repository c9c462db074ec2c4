-- Every queue that has jobs or is served: counts by state (those that wait, and those that are behind
-- others of their ordering key, capped at $1), the age of the oldest available job, the live nodes that
-- serve it, the kinds that wait with no live node for them or for the version of their arguments, and what was said
-- of it. Counting what executes reads the whole table; this is for people, not for the hot path.
with recursive step as (
    -- A loose index scan: one probe a queue instead of a read of every job.
    (select queue from callboard.jobs where is_ready and not is_behind order by queue limit 1)
    union all
    select (select j.queue from callboard.jobs j
             where j.is_ready and not j.is_behind and j.queue > step.queue order by j.queue limit 1)
      from step where step.queue is not null
),
live as (
    select id, queues, kinds, args_versions from callboard.nodes
     where condemned_at is null and lease_until > clock_timestamp()
),
busy as (
    select queue, count(*) as executing from callboard.jobs where state = 'executing' group by queue
),
names as (
    select queue from step where queue is not null
    union select unnest(queues) from live
    union select queue from busy
    union select queue from (select queue from callboard.jobs
                              where not is_ready limit $1) as waiting
    union select queue from callboard.queue_settings
           where node = 0 and (mode <> 'running' or workers is not null)
)
select n.queue,
       (select count(*) from (select from callboard.jobs j
                               where j.queue = n.queue and j.is_ready and j.state = 'available' and not j.is_behind
                               limit $1) as capped),
       coalesce((select b.executing from busy b where b.queue = n.queue), 0),
       (select count(*) from (select from callboard.jobs j
                               where j.queue = n.queue and not j.is_ready
                               limit $1) as capped),
       (select count(*) from (select from callboard.jobs j
                               where j.queue = n.queue and j.is_behind limit $1) as capped),
       (select (extract(epoch from clock_timestamp() - min(sample.enqueued_at)) * 1000)::bigint
          from (select enqueued_at from callboard.jobs j
                 where j.queue = n.queue and j.is_ready and j.state = 'available' and not j.is_behind
                 order by priority, id limit 100) as sample),
       (select count(*) from live where n.queue = any(live.queues)),
       array(select distinct sample.kind
               from (select kind, args_version from callboard.jobs j
                      where j.queue = n.queue and j.is_ready and j.state = 'available' and not j.is_behind
                      order by priority, id limit 1000) as sample
              where not exists (select from live
                                 where n.queue = any(live.queues)
                                   and callboard.can_run(sample.kind, sample.args_version,
                                                         live.kinds, live.args_versions))),
       (select count(*) from callboard.queue_settings o join live on live.id = o.node
         where o.queue = n.queue and o.mode <> 'running'),
       s.mode, s.mode_since, s.reason, s.ordered_by, s.workers
  from names n
  left join callboard.queue_settings s on s.queue = n.queue and s.node = 0
 order by n.queue
