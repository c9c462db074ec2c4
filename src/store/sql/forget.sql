-- Forgets what nodes were told for themselves, what they told of their workers, and the batches of theirs that
-- others settled, when they are off the list for an hour. (One that says goodbye takes it along; one that was
-- taken off by mistake comes back within moments.)
with told as (
    delete from callboard.queue_settings s
     where s.node <> 0 and s.changed_at < clock_timestamp() - interval '1 hour'
       and not exists (select from callboard.nodes n where n.id = s.node)
),
settled as (
    delete from callboard.express_batches b
     where b.is_disowned and b.written_at < clock_timestamp() - interval '1 hour'
       and not exists (select from callboard.nodes n where n.id = b.node)
)
delete from callboard.node_reports r
 where r.reported_at < clock_timestamp() - interval '1 hour'
   and not exists (select from callboard.nodes n where n.id = r.node)
