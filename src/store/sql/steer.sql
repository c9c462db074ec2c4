-- Says how a queue ($1) is to be served, by all nodes ($2 = 0) or by one. $3: its mode, or null to leave it;
-- $4: its workers, 0 for as configured, or null to leave them. No row comes back, and nothing is changed,
-- when nobody knows the queue: no live node serves it (or not this one), no job is in it, and nothing
-- was ever said of it.
insert into callboard.queue_settings as s (queue, node, mode, workers, reason, ordered_by)
select $1, $2, coalesce($3, 'running'), nullif($4, 0), $5, $6
 where exists (select from callboard.nodes n
                where n.condemned_at is null and n.lease_until > clock_timestamp()
                  and $1 = any(n.queues) and ($2 = 0 or n.id = $2))
    or ($2 = 0 and (exists (select from callboard.jobs j where j.queue = $1)
                    or exists (select from callboard.queue_settings o where o.queue = $1 and o.node = 0)))
on conflict on constraint queue_settings_pkey do update
   set mode = coalesce($3, s.mode),
       mode_since = case when $3 is null or $3 = s.mode then s.mode_since else clock_timestamp() end,
       reason = case when $3 is null then s.reason
                     when $3 = s.mode then coalesce($5, s.reason) else $5 end,
       ordered_by = case when $3 is null then s.ordered_by
                         when $3 = s.mode then coalesce($6, s.ordered_by) else $6 end,
       workers = case when $4 is null then s.workers else nullif($4, 0) end,
       changed_at = clock_timestamp()
returning mode
