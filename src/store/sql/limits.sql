-- The limits of a queue, if it has any.
select running, running_per_key, starts, starts_every_ms, starts_per_key, starts_per_key_every_ms, weights
  from callboard.limits where queue = $1
