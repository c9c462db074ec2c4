-- A node says goodbye. With jobs still in its name ($2) it stays on the list, condemned, so that
-- they are taken back at once.
with gone as (
    delete from callboard.nodes where id = $1 and not $2
)
update callboard.nodes set condemned_at = clock_timestamp() where id = $1 and $2
