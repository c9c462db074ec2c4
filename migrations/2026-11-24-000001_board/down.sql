drop function history_prune(interval);
drop function history_prepare(integer);
drop table nodes;
drop table dead_letters;
drop table history;
drop table jobs;
drop function is_key_taken(text, text);
