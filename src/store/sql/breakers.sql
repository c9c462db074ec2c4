-- Every breaker, or those of one kind ($1), and how long ago or how soon things are by this clock, since no
-- other is compared with these times: ms since the last change, ms until probes may begin, ms that the probes
-- of the prober are its own.
select name, kinds, state, epoch, changed_at, changed_by, reason, probe_at, prober, succeeded, openings,
       (extract(epoch from clock_timestamp() - changed_at) * 1000)::bigint,
       (extract(epoch from probe_at - clock_timestamp()) * 1000)::bigint,
       (extract(epoch from probing_until - clock_timestamp()) * 1000)::bigint
  from callboard.breakers
 where $1::text is null or $1 = any(kinds)
 order by name
