-- What people ask of queues while they run, and what nodes tell of their workers.

-- How a queue is to be served: by all nodes, or by one node alone. A queue without a row runs as each
-- node is configured.
create table queue_settings (
    -- 0: all nodes. A node's own settings end with it.
    node          bigint      not null,
    -- When the mode became what it is.
    mode_since    timestamptz not null default clock_timestamp(),
    changed_at    timestamptz not null default clock_timestamp(),
    -- How many workers a node has. Null: as it is configured.
    workers       integer,
    queue         text        collate "C" not null,
    mode          text        collate "C" not null,
    -- Why the mode is what it is, and who says so; for people.
    reason        text,
    ordered_by    text,

    constraint queue_settings_pkey primary key (queue, node),
    constraint queue_settings_mode_known check (mode in ('running', 'paused', 'stopped')),
    constraint queue_settings_workers_bounded check (workers between 1 and 100000),
    constraint queue_settings_queue_bounded check (octet_length(queue) between 1 and 100),
    constraint queue_settings_texts_bounded
        check (octet_length(reason) <= 4000 and octet_length(ordered_by) <= 1000)
);

-- What each node has told last of its workers. It lags behind by a few seconds, and is for people.
create table node_reports (
    node         bigint      primary key,
    reported_at  timestamptz not null default clock_timestamp(),
    workers      jsonb       not null
);
