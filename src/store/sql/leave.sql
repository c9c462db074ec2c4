-- A node says goodbye. With jobs still in its name ($2) it stays on the list, condemned, so that
-- they are taken back at once. What it alone was told, and what it told of itself, goes with it; and batches of
-- the express lane that it had no time to begin, which cannot end from here on.
with gone as (
    delete from callboard.nodes where id = $1 and not $2
),
told as (
    delete from callboard.queue_settings where node = $1
),
struck as (
    delete from callboard.express_batches where node = $1 and not $2
),
report as (
    delete from callboard.node_reports where node = $1
)
update callboard.nodes set condemned_at = clock_timestamp() where id = $1 and $2
