-- A node tells who works for it ($2), in place of what it told before.
insert into callboard.node_reports as r (node, workers) values ($1, $2)
on conflict (node) do update set workers = excluded.workers, reported_at = clock_timestamp()
