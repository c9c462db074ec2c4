-- Moves up to $1 due jobs to available, the longest due first, and answers with their queues.
update callboard.jobs
   set state = 'available', due_at = null
 where ctid = any(array(
       select ctid from callboard.jobs
        where state in ('scheduled', 'retryable') and due_at <= clock_timestamp()
        order by due_at
        limit $1
          for update skip locked))
returning queue, priority
