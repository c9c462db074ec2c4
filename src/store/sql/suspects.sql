-- Nodes that look dead: condemned already, lease run out, or not holding their session lock.
--
-- A restart of the server frees every lock and keeps every node from renewing. So a free lock is
-- believed only of a node that has held it since the server started, and a lease that ran out also if
-- the server has been up longer than a lease ($1, in ms).
with server as (
    select pg_postmaster_start_time() as started_at,
           pg_postmaster_start_time() < clock_timestamp() - $1 * interval '1 millisecond' as is_settled
)
select n.id, n.condemned_at is not null or n.lease_until < clock_timestamp() as is_certain
  from callboard.nodes n, server
 where n.condemned_at is not null
    or n.lease_until < clock_timestamp() and (server.is_settled or n.locked_at > server.started_at)
    or n.locked_at > server.started_at
       and not exists (
           select from pg_locks l
            where l.locktype = 'advisory' and l.objsubid = 1 and l.granted
              and l.database = (select oid from pg_database where datname = current_database())
              and l.classid::bigint = (n.id >> 32) & 4294967295
              and l.objid::bigint = n.id & 4294967295)
