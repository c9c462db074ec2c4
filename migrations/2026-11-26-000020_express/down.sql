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
    return pruned + deleted;
end $$;

drop view finished_jobs;
drop table history_batches;
drop table express_batches;
