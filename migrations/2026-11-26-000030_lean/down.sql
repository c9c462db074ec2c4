drop index jobs_suspect;
create index jobs_suspect on jobs (queue, priority, id)
    where state = 'available' and deaths > 0 and not is_behind;

alter table jobs
    drop constraint jobs_sound,
    alter column queue type text collate "C",
    alter column kind type text collate "C",
    alter column ordering_key type text collate "C",
    alter column limit_key type text collate "C",
    alter column args type bytea,
    alter column traceparent type text collate "C",
    add constraint jobs_behind_has_key check (ordering_key is not null or not is_behind),
    add constraint jobs_ordering_key_bounded check (octet_length(ordering_key) between 1 and 200),
    add constraint jobs_state_known check (state in ('available', 'executing', 'scheduled', 'retryable')),
    add constraint jobs_executing_has_node check ((state = 'executing') = (node is not null)),
    add constraint jobs_waiting_has_due check (due_at is not null or state in ('available', 'executing')),
    add constraint jobs_names_bounded check (octet_length(queue) between 1 and 100 and octet_length(kind) between 1 and 200),
    add constraint jobs_args_bounded check (octet_length(args) <= 16777216),
    add constraint jobs_limit_key_bounded check (octet_length(limit_key) between 1 and 200),
    add constraint jobs_traceparent_whole check (octet_length(traceparent) = 55);

drop domain queue_name, kind_name, job_key, job_args, traceparent;
