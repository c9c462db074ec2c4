-- Moves up to $1 due jobs to available, the longest due first, and answers with their queues. When they were
-- due stays, since their wait for a worker counts from there. The time is asked for once: then the index is read up
-- to it, and not what comes after it.
update callboard.jobs
   set state = 'available', is_ready = true
 where ctid = any(array(
       select ctid from callboard.jobs
        where not is_ready and due_at <= (select clock_timestamp())
        order by due_at
        limit $1
          for update skip locked))
returning queue, priority
