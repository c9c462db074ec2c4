-- Makes the probes of a breaker ($1) those of one node ($2) for $3 ms: when it has been open long enough, or
-- when the node whose they were is not heard of any more. Nothing changes unless a job waits in a queue of this
-- node ($4) that is of its kinds and can run here ($5 and $6 side by side), so the probes are with a node that has
-- something to try. Whose they are already keeps them. Probes that have succeeded count on, whoever ran them.
update callboard.breakers b
   set state = 'half_open', prober = $2, probing_until = clock_timestamp() + $3 * interval '1 millisecond',
       epoch = epoch + case when state = 'half_open' and prober = $2 and probing_until >= clock_timestamp()
                               then 0 else 1 end,
       changed_at = case when state = 'open' then clock_timestamp() else changed_at end
 where name = $1
   and (state = 'half_open' and prober = $2 and probing_until >= clock_timestamp()
        or (state = 'open' and probe_at <= clock_timestamp()
            or state = 'half_open' and probing_until < clock_timestamp())
           and exists (select from callboard.jobs j
                        where j.queue = any($4) and j.is_ready and j.state = 'available' and not j.is_behind
                          and callboard.can_run(j.kind, j.args_version, $5, $6)))
returning name, kinds, state, epoch, changed_at, changed_by, reason, probe_at, prober, succeeded, openings,
          (extract(epoch from clock_timestamp() - changed_at) * 1000)::bigint,
          (extract(epoch from probe_at - clock_timestamp()) * 1000)::bigint,
          (extract(epoch from probing_until - clock_timestamp()) * 1000)::bigint
