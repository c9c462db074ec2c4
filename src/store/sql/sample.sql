-- How the queues $1 are, for gauges: available jobs (counted up to $2), and since when the oldest of the next
-- hundred could have run, in milliseconds.
select named.queue,
       (select count(*) from (select from callboard.jobs j
                               where j.queue = named.queue and j.is_ready and j.state = 'available' and not j.is_behind
                               limit $2) as capped),
       (select (extract(epoch from clock_timestamp() - min(coalesce(next.due_at, next.enqueued_at))) * 1000)::bigint
          from (select j.due_at, j.enqueued_at from callboard.jobs j
                 where j.queue = named.queue and j.is_ready and j.state = 'available' and not j.is_behind
                 order by j.priority, j.id limit 100) as next)
  from unnest($1::text[]) as named (queue)
