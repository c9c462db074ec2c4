-- What a node can run: kinds, and of each the newest version of its arguments that its handler reads. Jobs of
-- newer arguments wait for a node that reads them, as those of unknown kinds do.

-- Side by side with kinds. Empty: by a build that did not say.
alter table nodes
    add column args_versions integer[] not null default '{}',
    -- How the application calls the code that runs them; for people.
    add column code_versions text[]    not null default '{}';

-- Whether a job is for who runs these kinds. Most arguments are of the first version, which every handler is
-- for: what it cannot read of older ones, nobody will. A plain expression, so that the planner puts it into the
-- place of the call.
create function can_run(kind text, version integer, kinds text[], versions integer[]) returns boolean
language sql immutable as $$
    select kind = any(kinds) and (version <= 1 or coalesce(version <= versions[array_position(kinds, kind)], true))
$$;

-- As the one of two arguments, which serves nodes of a build that knows no versions.
create function first_waiting(of_queue text, of_kinds text[], of_versions integer[]) returns smallint
language plpgsql stable set search_path from current set enable_seqscan = off as $$
begin
    return (select j.priority from jobs j
             where j.queue = of_queue and j.state = 'available' and not j.is_behind
               and can_run(j.kind, j.args_version, of_kinds, of_versions)
             order by j.priority, j.id
             limit 1);
end $$;
