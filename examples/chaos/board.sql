-- What the run keeps beside the board's own tables. A trigger writes down every change of a job, in
-- the transaction that makes it, so that the checker sees exactly what was committed.
create schema chaos;

create table chaos.audit (
    seq       bigint generated always as identity primary key,
    at        timestamptz not null default clock_timestamp(),
    tx        bigint not null default txid_current(),
    session   text not null default current_setting('application_name'),
    verb      text not null,
    job       bigint not null,
    old_state text, new_state text,
    attempt   integer not null, new_attempt integer,
    node      bigint, new_node bigint,
    deaths    integer not null, new_deaths integer,
    due_at    timestamptz
);

-- A job's effect, written in the transaction that completes the job.
create table chaos.effects (token bigint not null, job bigint not null, attempt integer not null);

-- The coordinator's own proof that the database answers.
create table chaos.pulse (beats bigint not null);
insert into chaos.pulse values (0);

create function chaos.note() returns trigger language plpgsql as $$
declare
    query text := current_query();
    verb  text;
begin
    verb := case
        when tg_op = 'INSERT' and new.state = 'executing' then 'birth'
        when tg_op = 'INSERT' then 'enqueue'
        when query like '%not is_disowned returning batch%' then 'finish'
        when query like '%attempted_at = clock_timestamp() - %' then 'spill'
        when query like '%express_batches b left join%' then 'charge'
        when query like '%process_died%' then 'rescue'
        when query like '%after_ms, failure, output%' then 'settle'
        when query like '%''completed'', queue, kind, errors from ended%' then 'settle'
        when query like '%cancel_requested_at = coalesce%' then 'cancel'
        when query like '%set state = ''executing'', attempt = attempt + 1%' then 'claim'
        when query like '%where not is_ready and due_at <= %' then 'promote'
        else 'unknown'
    end;
    if tg_op = 'INSERT' then
        insert into chaos.audit (verb, job, new_state, attempt, new_attempt, new_node, deaths, new_deaths, due_at)
        values (verb, new.id, new.state, new.attempt, new.attempt, new.node, new.deaths, new.deaths, new.due_at);
    elsif tg_op = 'UPDATE' then
        insert into chaos.audit (verb, job, old_state, new_state, attempt, new_attempt, node, new_node,
                                 deaths, new_deaths, due_at)
        values (verb, new.id, old.state, new.state, old.attempt, new.attempt, old.node, new.node,
                old.deaths, new.deaths, old.due_at);
    else
        insert into chaos.audit (verb, job, old_state, attempt, node, deaths, due_at)
        values (verb, old.id, old.state, old.attempt, old.node, old.deaths, old.due_at);
    end if;
    return null;
end $$;

create trigger chaos after insert or update or delete on callboard.jobs
   for each row execute function chaos.note();

-- An administrator who goes through the running jobs in the order of their ids, and takes some time.
create procedure chaos.walk() language plpgsql as $$
declare
    job bigint;
begin
    -- Whoever has stopped in a transaction must not stop everybody else by way of this one.
    set local lock_timeout = '400ms';
    for job in select id from callboard.jobs where state = 'executing' order by id loop
        perform from callboard.jobs where id = job for update;
        perform pg_sleep(0.004);
    end loop;
end $$;
