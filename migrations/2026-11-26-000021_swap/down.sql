drop function first_waiting(text, text[], integer[]);
drop function can_run(text, integer, text[], integer[]);
alter table nodes drop column code_versions, drop column args_versions;
