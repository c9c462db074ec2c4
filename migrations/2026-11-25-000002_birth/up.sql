-- The priority of the first waiting job of a queue among these kinds; null if none waits. With its own plan
-- and setting, since the connections of clients may have cached the plan of the enqueue around it while the
-- table was empty.
create function first_waiting(of_queue text, of_kinds text[]) returns smallint
language plpgsql stable set search_path from current set enable_seqscan = off as $$
begin
    return (select priority from jobs
             where queue = of_queue and state = 'available' and not is_behind and kind = any(of_kinds)
             order by priority, id
             limit 1);
end $$;
