-- Limits of queues, kept at claim time: how many run on all nodes, how many start in a period, for the
-- whole queue and for each of its keys.

-- Whose share of the queue's limits the job takes: a tenant, an API.
alter table jobs
    add column limit_key  text    collate "C",
    -- Claimed under limits, so it counts while it executes.
    add column is_limited boolean not null default false,
    add constraint jobs_limit_key_bounded check (octet_length(limit_key) between 1 and 200);
alter table dead_letters add column limit_key text collate "C";

-- Jobs without a key, in queues without limits, are in neither of these.
create index jobs_keyed on jobs (queue, limit_key, priority, id)
    where limit_key is not null and state = 'available' and not is_behind;
create index jobs_limited on jobs (queue, limit_key) where is_limited and state = 'executing';

create table limits (
    queue                 text             collate "C" primary key,
    running               integer          check (running > 0),
    running_per_key       integer          check (running_per_key > 0),
    -- So many starts in so many milliseconds, by a token bucket that holds as many.
    starts                integer          check (starts > 0),
    starts_every_ms       bigint           check (starts_every_ms > 0),
    starts_per_key        integer          check (starts_per_key > 0),
    starts_per_key_every_ms bigint         check (starts_per_key_every_ms > 0),
    -- How many a key may start in its turn; 1 unless it is here.
    weights               jsonb            not null default '{}',
    tokens                double precision not null default 0,
    refilled_at           timestamptz      not null default clock_timestamp(),
    -- Whose turn it is, and how many of its turn are used up.
    turn                  text             collate "C" not null default '',
    turn_used             integer          not null default 0
) with (fillfactor = 10);

-- The token buckets of keys.
create table limit_keys (
    queue       text             collate "C",
    key         text             collate "C",
    tokens      double precision not null,
    refilled_at timestamptz      not null,
    primary key (queue, key)
) with (fillfactor = 50);

-- How many tokens a bucket has by now, that holds at most as many as it gets in a period.
create function tokens_by(tokens double precision, since timestamptz, holds integer, every_ms bigint, now timestamptz)
returns double precision language sql immutable as $$
    select least(holds, tokens + greatest(extract(epoch from now - since), 0) * 1000.0 * holds / every_ms)
$$;

-- Whether no other job of an ordering key is older than this one, or runs.
create function is_first(of_queue text, of_key text, of_id bigint) returns boolean
language plpgsql stable set search_path from current set enable_seqscan = off as $$
begin
    return not exists (select from jobs where queue = of_queue and ordering_key = of_key and id < of_id)
       and not exists (select from jobs where queue = of_queue and ordering_key = of_key and state = 'executing');
end $$;
