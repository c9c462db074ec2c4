-- The trace context of who enqueued a job, as W3C writes it: 00-<trace>-<parent>-<flags>, 55 characters. Null:
-- the enqueuer had none. It goes with the job into the dead letters and back, and not into the history.
alter table jobs
    add column traceparent text collate "C",
    add constraint jobs_traceparent_whole check (octet_length(traceparent) = 55);

alter table dead_letters
    add column traceparent text collate "C",
    add constraint dead_letters_traceparent_whole check (octet_length(traceparent) = 55);
