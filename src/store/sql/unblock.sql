-- Gives the next job of each ordering key its turn, if none before it is unfinished any more. The keys
-- are given by queue and key, or all that have somebody waiting ($1 is null).
--
-- A job learns at its enqueue that it is behind another, and that one's end is another transaction:
-- neither may see the other. So both sides run this after their commit, and whoever is later finds
-- what the other missed; a transaction that nobody runs this after is found by the scheduler's sweep.
with recursive step as (
    -- A loose index scan: one probe a key.
    (select queue, ordering_key from callboard.jobs
      where is_behind and $1::text[] is null
      order by queue, ordering_key limit 1)
    union all
    select next.queue, next.ordering_key
      from step,
           lateral (select j.queue, j.ordering_key from callboard.jobs j
                     where j.is_behind and (j.queue, j.ordering_key) > (step.queue, step.ordering_key)
                     order by j.queue, j.ordering_key limit 1) as next
),
keys as (
    select queue, ordering_key from step
    union
    select queue, ordering_key from unnest($1::text[], $2::text[]) as given (queue, ordering_key)
),
head as materialized (
    select (select j.id from callboard.jobs j
             where j.queue = keys.queue and j.ordering_key = keys.ordering_key
             order by j.id limit 1) as id
      from keys
),
turn as materialized (
    -- Locked in id order, as everywhere.
    select j.id from callboard.jobs j
     where j.id in (select id from head) and j.is_behind
     order by j.id
       for update
)
update callboard.jobs j set is_behind = false
  from turn
 where j.id = turn.id
returning j.queue, j.priority
