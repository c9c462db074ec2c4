-- How long until the next job is due, in microseconds; no row if none waits.
select greatest(0, extract(epoch from due_at - clock_timestamp()) * 1000000)::bigint as in_us
  from callboard.jobs
 where not is_ready
 order by due_at
 limit 1
