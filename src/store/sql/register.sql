-- Puts a node on the list, or renews what is known of it.
insert into callboard.nodes (id, lease_until, name, version, queues, kinds, args_versions, code_versions)
values ($1, clock_timestamp() + $2 * interval '1 millisecond', $3, $4, $5, $6, $7, $8)
on conflict (id) do update
   set lease_until = excluded.lease_until, condemned_at = null, name = excluded.name,
       version = excluded.version, queues = excluded.queues, kinds = excluded.kinds,
       args_versions = excluded.args_versions, code_versions = excluded.code_versions
