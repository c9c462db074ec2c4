-- Writes down what a batch ($1) of the express lane is about to begin, if none of it is named by another batch.
-- Otherwise answers with those others, and whether their nodes are on the list.
--
-- Whoever asks holds the locks of its jobs, and this looks after that. So the transaction of another batch that
-- names one of them is over, and did not end the batch: its process died, or its connection.
with contested as materialized (
    select b.batch, b.node
      from callboard.express_batches b
     where b.queue = $3 and b.last_id >= $4 and b.first_id <= $5 and not b.is_disowned
       and exists (select from unnest(b.ids, b.attempts) as named (id, attempt)
                     join unnest($6::bigint[], $7::integer[]) as mine (id, attempt)
                       on mine.id = named.id and mine.attempt = named.attempt)
),
written as (
    insert into callboard.express_batches (batch, node, queue, first_id, last_id, ids, attempts)
    select $1, $2, $3, $4, $5, $6, $7 where not exists (select from contested)
)
select c.batch, c.node, exists (select from callboard.nodes n where n.id = c.node) from contested c
