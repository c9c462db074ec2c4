-- A claim of quick jobs changes rows in their places: the new version is put into the same page, and no index learns
-- of it (a heap-only tuple), if nothing has changed that an index asks for. So none asks for the state.

drop index jobs_fetch, jobs_due, jobs_suspect, jobs_ordering_running, jobs_keyed, jobs_limited;

alter table jobs
    drop constraint jobs_sound,
    -- In which index it stands: of what has nothing to wait for (jobs_fetch), or of what waits for its time
    -- (jobs_due; false), or, null, in neither, while it executes. Quick jobs stay in jobs_fetch then, and are passed
    -- over there by their state.
    add column is_ready boolean default true,
    -- Executes as the one of its ordering key.
    add column has_turn boolean not null default false;

update jobs
   set is_ready = case state when 'executing' then null else state = 'available' end,
       has_turn = state = 'executing' and ordering_key is not null,
       is_limited = is_limited and state = 'executing'
 where state <> 'available' or is_limited;

alter table jobs
    -- One check, since each costs.
    add constraint jobs_sound check (
        case state
            when 'executing' then node is not null and is_ready is not false and has_turn = (ordering_key is not null)
            when 'available' then node is null and is_ready is true and not has_turn and not is_limited
            else state in ('scheduled', 'retryable') and node is null and due_at is not null and is_ready is false
                 and not has_turn and not is_limited
        end
        and (ordering_key is not null or not is_behind));

-- Somewhat less than a half, since a claim makes a row longer by its node and its time.
alter table jobs set (fillfactor = 46);

-- Claims walk this index in order.
create index jobs_fetch on jobs (queue, priority, id) where is_ready and not is_behind;
-- Those below hold no job on its ordinary way, so they cost it nothing.
create index jobs_due on jobs (due_at) where not is_ready;
create index jobs_suspect on jobs (queue, priority, id) where deaths > 0 and is_ready and not is_behind;
-- Whatever two claims see of each other: of a key, one job runs.
create unique index jobs_ordering_running on jobs (queue, ordering_key) where has_turn;
create index jobs_keyed on jobs (queue, limit_key, priority, id)
    where limit_key is not null and is_ready and not is_behind and not is_limited;
create index jobs_limited on jobs (queue, limit_key) where is_limited;

-- It served builds that cannot run beside this one.
drop function first_waiting(text, text[]);

create or replace function first_waiting(of_queue text, of_kinds text[], of_versions integer[]) returns smallint
language plpgsql stable set search_path from current
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
begin
    return (select j.priority from jobs j
             where j.queue = of_queue and j.is_ready and j.state = 'available' and not j.is_behind
               and can_run(j.kind, j.args_version, of_kinds, of_versions)
             order by j.priority, j.id
             limit 1);
end $$;

create or replace function is_first(of_queue text, of_key text, of_id bigint) returns boolean
language plpgsql stable set search_path from current set enable_seqscan = off as $$
begin
    return not exists (select from jobs where queue = of_queue and ordering_key = of_key and id < of_id)
       and not exists (select from jobs where queue = of_queue and ordering_key = of_key and has_turn);
end $$;

-- Gives up to at_most jobs of a queue with limits to a node, and up to suspects suspects beside them,
-- and says where their rows are now.
--
-- The lock on the row of limits lets one claim of the queue at a time count and take, on all nodes; each
-- statement of a volatile function sees what was committed before it began, so what the claim before took
-- is counted. Nothing else is waited for: rows that others have locked are passed over.
--
-- Keys take turns (deficit round robin; Shreedhar and Varghese, 1995): from the one whose turn it is, each
-- key with something to run gets as many as its weight, then the next; within a key the most urgent and
-- oldest first. So between two jobs of a key at most the sum of the other keys' weights is started. Jobs
-- without a key have one turn together, and are looked for among the first thousand of the queue.
create or replace function claim_limited(of_node bigint, of_queue text, of_kinds text[], of_versions integer[], at_most bigint,
                              suspects bigint)
returns table (lies_at tid, job jobs) language plpgsql volatile
set search_path from current set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
    l     limits;
    now   timestamptz;
    room  bigint;
    taken bigint;
begin
    select * into l from limits where queue = of_queue for update;
    if not found then
        return;
    end if;
    now := clock_timestamp();
    room := at_most;
    if l.running is not null then
        room := least(room, l.running - (select count(*) from jobs j
                                          where j.queue = of_queue and j.is_limited and j.state = 'executing'));
    end if;
    if l.starts is not null then
        l.tokens := tokens_by(l.tokens, l.refilled_at, l.starts, l.starts_every_ms, now);
        room := least(room, floor(l.tokens)::bigint);
    end if;

    while room > 0 loop
        return query
        -- Loose index scans, one probe a key: from the turn on, and then from the beginning to it.
        with recursive forth as (
            (select j.limit_key as key, 1 as place from jobs j
              where j.queue = of_queue and j.limit_key >= l.turn and j.limit_key is not null
                and j.is_ready and not j.is_limited and j.state = 'available' and not j.is_behind
                and j.deaths = 0
                and can_run(j.kind, j.args_version, of_kinds, of_versions)
              order by j.limit_key limit 1)
            union all
            select (select j.limit_key from jobs j
                     where j.queue = of_queue and j.limit_key > f.key and j.limit_key is not null
                       and j.is_ready and not j.is_limited and j.state = 'available' and not j.is_behind
                       and j.deaths = 0
                       and can_run(j.kind, j.args_version, of_kinds, of_versions)
                     order by j.limit_key limit 1), f.place + 1
              from forth f where f.key is not null and f.place < 10000
        ),
        back as (
            (select j.limit_key as key, 20001 as place from jobs j
              where j.queue = of_queue and j.limit_key < l.turn and j.limit_key is not null
                and j.is_ready and not j.is_limited and j.state = 'available' and not j.is_behind
                and j.deaths = 0
                and can_run(j.kind, j.args_version, of_kinds, of_versions)
              order by j.limit_key limit 1)
            union all
            select (select j.limit_key from jobs j
                     where j.queue = of_queue and j.limit_key > b.key and j.limit_key < l.turn
                       and j.limit_key is not null
                       and j.is_ready and not j.is_limited and j.state = 'available' and not j.is_behind
                       and j.deaths = 0
                       and can_run(j.kind, j.args_version, of_kinds, of_versions)
                     order by j.limit_key limit 1), b.place + 1
              from back b where b.key is not null and b.place < 30000
        ),
        busy as materialized (
            select j.limit_key as key, count(*) as running from jobs j
             where j.queue = of_queue and j.is_limited and j.state = 'executing' and l.running_per_key is not null
             group by j.limit_key
        ),
        -- Keys with room of their own, and how much of it.
        open as materialized (
            select o.* from (
                select w.key, w.place,
                       greatest(coalesce((l.weights ->> w.key)::integer, 1), 1) as weight,
                       case when w.key = l.turn then l.turn_used else 0 end as used,
                       least(room,
                             l.running_per_key - coalesce(b.running, 0),
                             case when l.starts_per_key is not null then coalesce(
                                 (select floor(tokens_by(k.tokens, k.refilled_at, l.starts_per_key,
                                                         l.starts_per_key_every_ms, now))::bigint
                                    from limit_keys k where k.queue = of_queue and k.key = w.key),
                                 l.starts_per_key) end) as may
                  from (select * from forth union all select * from back) as w
                  -- Hashed: looked for anew for each key, it took most of the time with thousands of keys.
                  left join busy b on b.key = w.key
                 where w.key is not null) as o
             where o.may > 0
             limit least(200, room + 10)
        ),
        candidate as materialized (
            select c.at, o.key, o.place, o.weight, o.used,
                   row_number() over (partition by o.key order by c.priority, c.id) as rank
              from open o
             cross join lateral (
                   select j.ctid as at, j.priority, j.id from jobs j
                    where j.queue = of_queue and j.limit_key = o.key and j.limit_key is not null
                      and j.is_ready and not j.is_limited and j.state = 'available' and not j.is_behind
                      and j.deaths = 0
                      and can_run(j.kind, j.args_version, of_kinds, of_versions)
                      and (j.ordering_key is null or is_first(of_queue, j.ordering_key, j.id))
                    order by j.priority, j.id
                    limit least(o.may, 1 + 2 * room * o.weight / (select sum(all_of.weight) from open all_of))
                   ) as c
            union all
            select c.at, '', case l.turn when '' then 0 else 20000 end, 1,
                   case l.turn when '' then l.turn_used else 0 end,
                   row_number() over (order by c.priority, c.id)
              from (select j.ctid as at, j.priority, j.id, j.limit_key, j.ordering_key, j.deaths, j.kind,
                           j.args_version
                      from jobs j
                     where j.queue = of_queue and j.is_ready and j.state = 'available' and not j.is_behind
                     order by j.priority, j.id
                     limit 1000) as c
             where c.limit_key is null and c.deaths = 0 and can_run(c.kind, c.args_version, of_kinds, of_versions)
               and (c.ordering_key is null or is_first(of_queue, c.ordering_key, c.id))
        ),
        chosen as materialized (
            select at, key, place, weight, rank + used as nth, (rank + used - 1) / weight as round
              from candidate
             order by (rank + used - 1) / weight, place, rank
             limit room
        ),
        turned as (
            update limits
               set turn = last.key, turn_used = (last.nth - 1) % last.weight + 1
              from (select * from chosen order by round desc, place desc, nth desc limit 1) as last
             where queue = of_queue
        ),
        claimed as (
            update jobs j
               set state = 'executing', attempt = j.attempt + 1, node = of_node, attempted_at = now,
                   is_limited = true, is_ready = null,
                   has_turn = j.ordering_key is not null
             where j.ctid = any(array(
                       select f.ctid from jobs f
                        where f.ctid = any(array(select at from chosen)) and f.state = 'available'
                          for update skip locked))
            returning j.ctid as lies_at, j as job
        ),
        spent as (
            insert into limit_keys as k (queue, key, tokens, refilled_at)
            select of_queue, (c.job).limit_key, l.starts_per_key - count(*), now
              from claimed c
             where l.starts_per_key is not null and (c.job).limit_key is not null
             group by (c.job).limit_key
            on conflict (queue, key) do update
               set tokens = tokens_by(k.tokens, k.refilled_at, l.starts_per_key, l.starts_per_key_every_ms, now)
                            - (l.starts_per_key - excluded.tokens),
                   refilled_at = now
        )
        select c.lies_at, c.job from claimed c;
        get diagnostics taken = row_count;
        exit when taken = 0;
        room := room - taken;
        l.tokens := l.tokens - taken;
        select turn, turn_used into l.turn, l.turn_used from limits where queue = of_queue;
    end loop;

    if suspects > 0 and room > 0 then
        return query
        update jobs j
           set state = 'executing', attempt = j.attempt + 1, node = of_node, attempted_at = now, is_limited = true,
               is_ready = null, has_turn = j.ordering_key is not null
         where j.ctid = any(array(
                   select s.ctid from jobs s
                    where s.queue = of_queue and s.is_ready and s.state = 'available' and not s.is_behind
                      and s.deaths > 0
                      and can_run(s.kind, s.args_version, of_kinds, of_versions)
                      and (l.running_per_key is null or s.limit_key is null
                           or l.running_per_key > (select count(*) from jobs b
                                                    where b.queue = of_queue and b.limit_key = s.limit_key
                                                      and b.is_limited and b.state = 'executing'))
                      and (s.ordering_key is null or is_first(of_queue, s.ordering_key, s.id))
                    order by s.priority, s.id
                    limit least(suspects, room)
                      for update skip locked))
        returning j.ctid, j;
        get diagnostics taken = row_count;
        l.tokens := l.tokens - taken;
    end if;
    if l.starts is not null then
        update limits set tokens = l.tokens, refilled_at = now where queue = of_queue;
    end if;
end $$;
