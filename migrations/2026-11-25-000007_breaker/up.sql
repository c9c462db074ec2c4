-- The circuit breakers that the nodes share. Few rows, written when a breaker changes and not by jobs.
create table breakers (
    name           text        collate "C" primary key,
    -- Grows with every change, never shrinks: a verdict of a node counts only in the epoch it was found in.
    epoch          bigint      not null default 0,
    changed_at     timestamptz not null default clock_timestamp(),
    -- When probes may begin. Null: not until somebody closes it.
    probe_at       timestamptz,
    -- While it is half open: the node whose probes run, and until when they are its own.
    prober         bigint,
    probing_until  timestamptz,
    -- How many probes have succeeded since it was opened.
    succeeded      integer     not null default 0,
    -- How often it was opened without having been closed for a while in between.
    openings       integer     not null default 0,
    state          text        collate "C" not null default 'closed',
    changed_by     text        not null,
    reason         text,
    -- The kinds that share it, as the nodes that started last declared them.
    kinds          text[]      not null,

    constraint breakers_name_bounded check (octet_length(name) between 1 and 200),
    constraint breakers_state_known check (state in ('closed', 'open', 'half_open', 'held_open', 'held_closed')),
    constraint breakers_open_has_probe_at check ((state in ('open', 'half_open')) = (probe_at is not null)),
    constraint breakers_half_open_has_prober check ((state = 'half_open') = (prober is not null)),
    constraint breakers_prober_has_until check ((prober is null) = (probing_until is null))
);
