-- Opens a breaker ($1) because of what a node found in an epoch ($2): it counts only if nobody has changed the
-- breaker since. It stays open for $3 ms, twice as long with each opening, $4 ms at most; it begins anew when it
-- has been closed for those $4 ms.
update callboard.breakers
   set state = 'open', epoch = epoch + 1, changed_at = clock_timestamp(), changed_by = $5, reason = $6,
       succeeded = 0, prober = null, probing_until = null,
       openings = 1 + case when state = 'closed' and changed_at < clock_timestamp() - $4 * interval '1 millisecond'
                           then 0 else openings end,
       probe_at = clock_timestamp() + interval '1 millisecond' * least($4::bigint, $3::bigint * power(2,
           case when state = 'closed' and changed_at < clock_timestamp() - $4 * interval '1 millisecond'
                then 0 else least(openings, 30) end))
 where name = $1 and epoch = $2 and state in ('closed', 'half_open')
returning name, kinds, state, epoch, changed_at, changed_by, reason, probe_at, prober, succeeded, openings,
          (extract(epoch from clock_timestamp() - changed_at) * 1000)::bigint,
          (extract(epoch from probe_at - clock_timestamp()) * 1000)::bigint,
          (extract(epoch from probing_until - clock_timestamp()) * 1000)::bigint
