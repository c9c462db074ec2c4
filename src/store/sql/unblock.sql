-- Gives the next job of each ordering key its turn, if none before it is unfinished any more. The keys
-- are given by queue and key, or all that have somebody waiting ($1 is null).
--
-- A job learns at its enqueue that it is behind another, and that one's end is another transaction:
-- neither may see the other. So both sides run this after their commit, and whoever is later finds
-- what the other missed; a transaction that nobody runs this after is found by the scheduler's sweep.
--
-- = any(array(...)) looks up the few ids; a join may read everybody who waits.
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
    select first.*
      from keys,
           lateral (select j.id, j.queue, j.priority, j.state, j.is_behind from callboard.jobs j
                     where j.queue = keys.queue and j.ordering_key = keys.ordering_key
                     order by j.id limit 1) as first
),
turn as materialized (
    -- Locked in id order, as everywhere.
    select j.id from callboard.jobs j
     where j.id = any(array(select id from head where is_behind)) and j.is_behind
     order by j.id
       for update
),
turned as (
    update callboard.jobs j set is_behind = false
     where j.id = any(array(select id from turn))
    returning j.queue, j.priority
)
select queue, priority from turned
union all
-- Who never was behind, since it was enqueued beside the one before it or was dead, has been passed over
-- until now ($3: so somebody has to be told).
select queue, priority from head where $3 and state = 'available' and not is_behind
