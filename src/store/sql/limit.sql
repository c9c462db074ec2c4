-- Sets the limits of a queue, for all nodes. Buckets are full at first, and keep what they have used when
-- other limits follow.
insert into callboard.limits as l
       (queue, running, running_per_key, starts, starts_every_ms, starts_per_key, starts_per_key_every_ms,
        weights, tokens)
select $1, $2, $3, $4, $5, $6, $7, $8::jsonb, coalesce($4, 0)
on conflict (queue) do update
   set running = excluded.running, running_per_key = excluded.running_per_key,
       starts = excluded.starts, starts_every_ms = excluded.starts_every_ms,
       starts_per_key = excluded.starts_per_key, starts_per_key_every_ms = excluded.starts_per_key_every_ms,
       weights = excluded.weights,
       tokens = case when l.starts is null then excluded.tokens else least(l.tokens, excluded.tokens) end
