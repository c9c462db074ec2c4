alter table dead_letters drop column traceparent;
alter table jobs drop column traceparent;
