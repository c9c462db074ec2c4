-- Which of these answers were written before: those of a write whose own answer was lost. $1 is the node that
-- answered. The fence refuses them now, and so it does with an answer of a job that was taken back from this
-- node: there the rescue has left its mark.
with answer as materialized (
    select * from unnest($2::bigint[], $3::integer[]) as answer (id, attempt)
),
found as materialized (
    select a.id, a.attempt, j.errors
      from answer a join callboard.jobs j on j.id = a.id
     where j.attempt > a.attempt or j.state <> 'executing'
    union all
    select a.id, a.attempt, h.errors
      from answer a join callboard.finished_jobs h on h.id = a.id and a.id between h.first_id and h.last_id
     where (h.attempt > a.attempt or h.node = $1)
       and h.finished_at > now() - interval '1 day'
    union all
    select a.id, a.attempt, d.errors
      from answer a join callboard.dead_letters d on d.id = a.id
     where d.attempt > a.attempt or d.node = $1
)
select id
  from found
 where not coalesce(errors, '[]') @> jsonb_build_array(jsonb_build_object('kind', 'process_died', 'attempt', attempt))
