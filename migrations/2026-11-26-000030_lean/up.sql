-- What a value may be is said by its type: a check of the table is run again by every claim, which changes none of
-- these, and read anew from the catalog by every statement.
create domain queue_name as text collate "C"
    constraint queue_name_bounded check (octet_length(value) between 1 and 100);
create domain kind_name as text collate "C"
    constraint kind_name_bounded check (octet_length(value) between 1 and 200);
create domain job_key as text collate "C"
    constraint job_key_bounded check (octet_length(value) between 1 and 200);
create domain job_args as bytea
    constraint job_args_bounded check (octet_length(value) <= 16777216);
create domain traceparent as text collate "C"
    constraint traceparent_whole check (octet_length(value) = 55);

alter table jobs
    drop constraint jobs_names_bounded,
    drop constraint jobs_ordering_key_bounded,
    drop constraint jobs_limit_key_bounded,
    drop constraint jobs_args_bounded,
    drop constraint jobs_traceparent_whole,
    drop constraint jobs_state_known,
    drop constraint jobs_executing_has_node,
    drop constraint jobs_waiting_has_due,
    drop constraint jobs_behind_has_key,
    alter column queue type queue_name,
    alter column kind type kind_name,
    alter column ordering_key type job_key,
    alter column limit_key type job_key,
    alter column args type job_args,
    alter column traceparent type traceparent,
    -- One check, since each costs.
    add constraint jobs_sound check (
        case state
            when 'executing' then node is not null
            when 'available' then node is null
            else state in ('scheduled', 'retryable') and node is null and due_at is not null
        end
        and (ordering_key is not null or not is_behind));

-- Every write asks each of these whether it holds the row: first what costs least, and is mostly false.
drop index jobs_suspect;
create index jobs_suspect on jobs (queue, priority, id)
    where deaths > 0 and state = 'available' and not is_behind;
