-- The express lane. Its jobs are held by row locks of an open transaction while their handlers run, and deleted
-- when these are done. A process that dies takes its transaction along, and with it every trace of what it ran.
-- So what a batch may begin is written down before, in a transaction of its own, and struck out by the
-- transaction that ends the batch. A batch that is still here although a job it names is locked by nobody has
-- ended without an answer.
create table express_batches (
    batch        bigint      primary key,
    node         bigint      not null,
    written_at   timestamptz not null default clock_timestamp(),
    -- Between these all its ids lie.
    first_id     bigint      not null,
    last_id      bigint      not null,
    -- What came of it is settled, and not by its node: its end counts no more.
    is_disowned  boolean     not null default false,
    queue        text        collate "C" not null,
    ids          bigint[]    not null,
    attempts     integer[]   not null,

    constraint express_batches_whole check (cardinality(ids) = cardinality(attempts))
) with (
    -- A few rows that come and go all the time.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000
);

-- Claims look for those of their queue that name what they have just locked.
create index express_batches_queue on express_batches (queue, last_id);
