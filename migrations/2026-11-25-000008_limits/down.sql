drop function is_first(text, text, bigint);
drop function tokens_by(double precision, timestamptz, integer, bigint, timestamptz);
drop table limit_keys;
drop table limits;
drop index jobs_limited;
drop index jobs_keyed;
alter table dead_letters drop column limit_key;
alter table jobs drop column limit_key, drop column is_limited;
