-- Nodes that look dead: condemned already, lease run out, or not holding their session lock.
--
-- A lease that ran out and a free lock are believed only if the server has been up longer than a
-- lease ($1, in ms): a restart of the server frees every lock and keeps every node from renewing, and
-- they need a moment to return.
with server as (
    select pg_postmaster_start_time() < clock_timestamp() - $1 * interval '1 millisecond' as is_settled
)
select n.id, n.condemned_at is not null or n.lease_until < clock_timestamp() as is_certain
  from callboard.nodes n, server
 where n.condemned_at is not null
    or server.is_settled
       and (n.lease_until < clock_timestamp()
            or not exists (
                select from pg_locks l
                 where l.locktype = 'advisory' and l.objsubid = 1 and l.granted
                   and l.database = (select oid from pg_database where datname = current_database())
                   and l.classid::bigint = (n.id >> 32) & 4294967295
                   and l.objid::bigint = n.id & 4294967295))
