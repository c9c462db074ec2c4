-- Takes the limits of a queue away, for all nodes.
with gone as (delete from callboard.limit_keys where queue = $1)
delete from callboard.limits where queue = $1
