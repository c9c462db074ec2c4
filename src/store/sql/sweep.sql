-- Clears away what jobs that have ended left on their way: a completion that nobody told of it leaves it
-- behind (see complete.sql), and so does a progress that was noted at the very moment of the end.
delete from callboard.checkpoints c
 where not exists (select from callboard.jobs j where j.id = c.id)
   and not exists (select from callboard.dead_letters d where d.id = c.id)
