-- Whether jobs of a queue with ids up to $2 can run now, run, or will when one before them has. (Executing
-- ones have no index, so they are looked for last.) One behind a job that waits for its time is not
-- counted. The second column: the highest id that there is.
select case when exists (select from callboard.jobs j
                          where j.queue = $1 and j.is_ready and j.state = 'available' and not j.is_behind
                            and j.id <= $2) then true
            when exists (select from callboard.jobs j
                          where j.queue = $1 and j.is_behind and j.id <= $2
                            and not exists (select from callboard.jobs e
                                             where e.queue = $1 and e.ordering_key = j.ordering_key
                                               and e.id < j.id and not e.is_ready)) then true
            else exists (select from callboard.jobs j
                          where j.queue = $1 and j.state = 'executing' and j.id <= $2) end,
       (select max(id) from callboard.jobs)
