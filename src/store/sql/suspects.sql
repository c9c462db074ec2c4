-- Nodes that look dead: condemned, lease run out, or not holding their session lock.
-- A free lock is believed only if the server has been up longer than a lease ($1, in ms): a restart
-- of the server frees every lock, and the nodes need a moment to take theirs again.
select n.id,
       n.condemned_at is not null or n.lease_until < clock_timestamp() as is_certain
  from callboard.nodes n
 where n.condemned_at is not null
    or n.lease_until < clock_timestamp()
    or (pg_postmaster_start_time() < clock_timestamp() - $1 * interval '1 millisecond'
        and not exists (
            select from pg_locks l
             where l.locktype = 'advisory' and l.objsubid = 1 and l.granted
               and l.database = (select oid from pg_database where datname = current_database())
               and l.classid::bigint = (n.id >> 32) & 4294967295
               and l.objid::bigint = n.id & 4294967295))
