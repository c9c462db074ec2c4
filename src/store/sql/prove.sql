-- Writes that so many probes ($3) of a breaker ($1) have succeeded by now, as its prober found in an epoch ($2). With
-- the last that is needed ($4) it closes.
update callboard.breakers
   set succeeded = $3,
       state = case when $3 >= $4 then 'closed' else state end,
       epoch = epoch + case when $3 >= $4 then 1 else 0 end,
       changed_at = case when $3 >= $4 then clock_timestamp() else changed_at end,
       changed_by = case when $3 >= $4 then $5 else changed_by end,
       reason = case when $3 >= $4 then 'its probes succeeded' else reason end,
       probe_at = case when $3 >= $4 then null else probe_at end,
       prober = case when $3 >= $4 then null else prober end,
       probing_until = case when $3 >= $4 then null else probing_until end
 where name = $1 and epoch = $2 and state = 'half_open'
returning name, kinds, state, epoch, changed_at, changed_by, reason, probe_at, prober, succeeded, openings,
          (extract(epoch from clock_timestamp() - changed_at) * 1000)::bigint,
          (extract(epoch from probe_at - clock_timestamp()) * 1000)::bigint,
          (extract(epoch from probing_until - clock_timestamp()) * 1000)::bigint
