-- Which dead letters are alike: what their last errors have in common, computed by the node that buries
-- them. Zero: by a build that computed none. A group is a kind and one of these.
alter table dead_letters add column error_fingerprint bigint not null default 0;

-- The list is read from its newest end, page by page. The groups are counted, and their letters found,
-- from the index alone. Letters are few and written once, so two indexes cost little.
create index dead_letters_buried on dead_letters (buried_at, id);
create index dead_letters_group on dead_letters (kind, error_fingerprint, buried_at, id);
drop index dead_letters_kind;

-- What a job leaves on its way, for its next attempt and for people: a value of its handler's own (its
-- shape as the fingerprint says), and how far it has come. Most jobs have no row here. It is a table of
-- its own, so that jobs stay small, a large value is written in no other change of its job, and a job
-- without one costs nothing. Rows go with the end of their jobs; the pruner finds what is left over.
create table checkpoints (
    id                bigint      primary key,
    fingerprint       bigint,
    saved_at          timestamptz,
    progress_done     bigint,
    progress_of       bigint,
    progressed_at     timestamptz,
    progress_attempt  integer,
    progress_message  text,
    checkpoint        bytea,

    constraint checkpoints_saved_whole
        check ((checkpoint is null) = (fingerprint is null) and (checkpoint is null) = (saved_at is null)),
    constraint checkpoints_progress_whole
        check (num_nulls(progress_done, progress_of, progressed_at, progress_attempt, progress_message) in (0, 5)),
    constraint checkpoints_bounded check (octet_length(checkpoint) <= 1048576)
) with (
    -- A row is written again and again, and each time on its own page.
    fillfactor = 50
);
