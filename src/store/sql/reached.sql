-- What the limits of its queue say of a job ($1) that is available: each with how much of it is used up. No row:
-- its queue has none.
select l.running,
       (select count(*) from callboard.jobs r where r.queue = l.queue and r.is_limited and r.state = 'executing'),
       j.limit_key, l.running_per_key,
       (select count(*) from callboard.jobs r
         where r.queue = l.queue and r.limit_key = j.limit_key and r.is_limited and r.state = 'executing'),
       l.starts, l.starts_every_ms,
       callboard.tokens_by(l.tokens, l.refilled_at, l.starts, l.starts_every_ms, clock_timestamp()),
       l.starts_per_key, l.starts_per_key_every_ms,
       (select callboard.tokens_by(k.tokens, k.refilled_at, l.starts_per_key, l.starts_per_key_every_ms,
                                   clock_timestamp())
          from callboard.limit_keys k where k.queue = l.queue and k.key = j.limit_key)
  from callboard.jobs j join callboard.limits l on l.queue = j.queue
 where j.id = $1 and j.state = 'available'
