-- Writes the commonest of answers, alone: these attempts are completed, without output. $1 is the node
-- that answers. Behind the same fence as every other (settle.sql), at a fifth of its price. An attempt that
-- has left something in checkpoints is settled there.
--
-- Rows are found where they lay when they were claimed ($4), without a look into an index. Who is somewhere else
-- by now (a wish to cancel makes a new version of a row) is not completed here, and settled there. The answers come
-- in the order of their ids, and their rows are looked for and locked one after the other, so in that order, too.
-- (= any of all places would be somewhat quicker, and lock them in the order of the places.) Is not distinct from:
-- so that an index on the ids is no way to them, which a planner prefers that sees an empty table.
--
-- The ids of what was completed come back in one row: to send and to read a row for each costs more than
-- all else that is done with the answer.
with ended as (
    delete from callboard.jobs j
     using unnest($2::bigint[], $3::integer[], $4::tid[]) as answer (id, attempt, lies_at)
     where j.ctid = answer.lies_at and j.id is not distinct from answer.id and j.attempt = answer.attempt
       and j.node = $1 and j.state = 'executing'
    returning j.id, j.enqueued_at, j.attempted_at, j.node, j.attempt, j.queue, j.kind, j.errors
),
logged as (
    insert into callboard.history (id, enqueued_at, attempted_at, node, attempt, state, queue, kind, errors)
    select id, enqueued_at, attempted_at, node, attempt, 'completed', queue, kind, errors from ended
)
select coalesce(array_agg(id), '{}') from ended
