-- Lets the jobs of a queue that execute already count under its new limits. Reads what executes, so the whole
-- table: limits are set by people.
update callboard.jobs set is_limited = true
 where id = any(array(select id from callboard.jobs
                       where state = 'executing' and queue = $1 and not is_limited
                       order by id
                         for update))
