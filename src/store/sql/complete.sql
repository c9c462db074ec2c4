-- Writes the commonest of answers, alone: these attempts are completed, without output. $1 is the node
-- that answers. Behind the same fence as every other (settle.sql), at less than a third of its price. An
-- attempt that has left something in checkpoints is settled there.
--
-- One index scan, whatever the planner believes of the table: "is true" keeps it from making a join of the
-- look at the attempts. That scan takes the ids in their order, so rows are locked in id order.
with ended as (
    delete from callboard.jobs j
     where j.id = any($2::bigint[]) and j.node = $1 and j.state = 'executing'
       and ((j.id, j.attempt) in (select * from unnest($2::bigint[], $3::integer[]))) is true
    returning j.id, j.enqueued_at, j.attempted_at, j.node, j.attempt, j.queue, j.kind, j.errors
),
logged as (
    insert into callboard.history (id, enqueued_at, attempted_at, node, attempt, state, queue, kind, errors)
    select id, enqueued_at, attempted_at, node, attempt, 'completed', queue, kind, errors from ended
)
select id from ended
