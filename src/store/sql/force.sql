-- Sets a breaker ($1) by hand to the state $2, whatever it was. When opened it lets probes through after $3 ms.
update callboard.breakers
   set state = $2, epoch = epoch + 1, changed_at = clock_timestamp(), changed_by = $4, reason = $5,
       succeeded = 0, openings = 0, prober = null, probing_until = null,
       probe_at = clock_timestamp() + $3 * interval '1 millisecond'
 where name = $1
returning name, kinds, state, epoch, changed_at, changed_by, reason, probe_at, prober, succeeded, openings,
          (extract(epoch from clock_timestamp() - changed_at) * 1000)::bigint,
          (extract(epoch from probe_at - clock_timestamp()) * 1000)::bigint,
          (extract(epoch from probing_until - clock_timestamp()) * 1000)::bigint
