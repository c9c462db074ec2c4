-- Proves that a node is alive. The answer says whether it had been condemned or its lease had run
-- out: then other nodes may have taken back its jobs. No row: the node is not on the list any more.
-- $3: whether this session holds the node's session lock.
with before as materialized (
    select id, condemned_at is not null or lease_until < clock_timestamp() as lapsed
      from callboard.nodes
     where id = $1
       for update
)
update callboard.nodes n
   set lease_until = clock_timestamp() + $2 * interval '1 millisecond', condemned_at = null,
       locked_at = case when $3 then clock_timestamp() end
  from before b
 where n.id = b.id
returning b.lapsed
