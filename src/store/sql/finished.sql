-- Whether the transaction of a batch of the express lane has ended what it held, if its row is struck out. These jobs
-- ($1) it would have left at these attempts ($2), or not at all. Whoever is still before that shows that it was lost
-- (and its row by a crash of the server). What has become of the others since proves nothing: they may have run
-- elsewhere, be retried, ended or cancelled.
--
-- In doubt it has: then its answers are given once more, and refused where it has not.
select not exists (select from callboard.jobs j
                    where j.id = any($1::bigint[])
                      and exists (select from unnest($1::bigint[], $2::integer[]) as left_at (id, attempt)
                                   where left_at.id = j.id and left_at.attempt > j.attempt))
