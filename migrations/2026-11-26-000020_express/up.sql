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

-- Longer ones of these are kept beside their rows; to have them compressed costs more than to write them.
alter table express_batches
    alter ids set storage external,
    alter attempts set storage external;

-- What was completed together: a row for many jobs, since a row for each costs more than all else that becomes of
-- them. Only first attempts are here; others may have errors, and are in history.
create table history_batches (
    node         bigint      not null,
    attempted_at timestamptz not null,
    finished_at  timestamptz not null default clock_timestamp(),
    -- Between these all ids lie.
    first_id     bigint      not null,
    last_id      bigint      not null,
    queue        text        collate "C" not null,
    kinds        text[]      collate "C" not null,
    -- Of which of the kinds each job is, counted from 1; null: all are of the first.
    kind_of      smallint[],
    ids          bigint[]    not null,
    enqueued_at  timestamptz[] not null,

    constraint history_batches_whole
        check (cardinality(ids) = cardinality(enqueued_at) and cardinality(ids) = cardinality(kind_of))
);

alter table history_batches
    alter kind_of set storage external,
    alter ids set storage external,
    alter enqueued_at set storage external;

create index history_batches_ids on history_batches
    using brin (first_id, last_id) with (autosummarize = on, pages_per_range = 8);

-- Every job that is completed or cancelled. Who looks for one by its id says that it lies between first_id and
-- last_id, which spares reading all batches.
create view finished_jobs as
select id, enqueued_at, attempted_at, finished_at, node, attempt, state, queue, kind, output, errors,
       id as first_id, id as last_id
  from history
union all
select job.id, job.enqueued_at, b.attempted_at, b.finished_at, b.node, 1, 'completed', b.queue,
       b.kinds[coalesce(job.kind_of, 1)], null, null, b.first_id, b.last_id
  from history_batches b, unnest(b.ids, b.enqueued_at, b.kind_of) as job (id, enqueued_at, kind_of);

-- As it was, and whole days of batches too.
create or replace function history_prune(keep interval) returns bigint
language plpgsql set search_path from current as $$
declare
    part    text;
    pruned  bigint := 0;
    deleted bigint;
begin
    perform pg_advisory_xact_lock(hashtextextended(current_schema() || '.history', 0));
    for part in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = 'history'::regclass and c.relname ~ '^history_\d{8}$'
           and (to_date(substr(c.relname, 9), 'YYYYMMDD') + 1)::text::timestamp
               < (clock_timestamp() at time zone 'UTC') - keep
         order by c.relname
    loop
        execute format('drop table %I', part);
        pruned := pruned + 1;
    end loop;
    delete from history_default where finished_at < clock_timestamp() - keep;
    get diagnostics deleted = row_count;
    pruned := pruned + deleted;
    delete from history_batches
     where finished_at < date_trunc('day', clock_timestamp() at time zone 'UTC' - keep) at time zone 'UTC';
    get diagnostics deleted = row_count;
    return pruned + deleted;
end $$;
