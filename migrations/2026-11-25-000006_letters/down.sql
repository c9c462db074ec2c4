drop table checkpoints;
create index dead_letters_kind on dead_letters (kind, id);
drop index dead_letters_group;
drop index dead_letters_buried;
alter table dead_letters drop column error_fingerprint;
