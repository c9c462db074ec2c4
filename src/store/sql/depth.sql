-- What an autoscaler asks each period: how many jobs of a queue wait (counted up to $2), for how long the
-- oldest of the next hundred has been on the board, and how many live nodes serve it.
select (select count(*) from (select from callboard.jobs j
                               where j.queue = $1 and j.is_ready and j.state = 'available' and not j.is_behind
                               limit $2) as capped),
       (select (extract(epoch from clock_timestamp() - min(sample.enqueued_at)) * 1000)::bigint
          from (select enqueued_at from callboard.jobs j
                 where j.queue = $1 and j.is_ready and j.state = 'available' and not j.is_behind
                 order by priority, id limit 100) as sample),
       (select count(*) from callboard.nodes
         where condemned_at is null and lease_until > clock_timestamp() and $1 = any(queues))
