drop table node_reports;
drop table queue_settings;
