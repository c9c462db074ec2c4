-- Writes what became of attempts: one row of the arrays each. $1 is the node that answers.
--
-- The fence: an answer counts only while the row still is at its attempt, executing, and held by this
-- node. Rows are locked in id order, so that two batches cannot deadlock. A cancellation that was
-- asked for while the handler ran wins over every way back into the queue.
with answer as materialized (
    select * from unnest($2::bigint[], $3::integer[], $4::text[], $5::bigint[], $6::text[], $7::text[],
                         $8::text[], $9::text[], $10::bigint[])
           as answer (id, attempt, verb, after_ms, failure, output, reason, diagnostics, error_fingerprint)
),
held as materialized (
    select j.id, a.after_ms, a.output::jsonb as output, a.reason,
           case when j.cancel_requested_at is not null and a.verb in ('retry', 'snooze', 'release')
                then 'cancel' else a.verb end as verb,
           a.diagnostics, a.error_fingerprint,
           case when a.failure is null then j.errors
                else coalesce(j.errors, '[]') || (a.failure::jsonb
                     || jsonb_build_object('attempt', j.attempt, 'at', clock_timestamp()))
           end as errors
      from answer a
      join callboard.jobs j on j.id = a.id
     where j.attempt = a.attempt and j.node = $1 and j.state = 'executing'
     order by j.id
       for update of j
),
ended as (
    delete from callboard.jobs j
     using held h
     where j.id = h.id and h.verb in ('complete', 'cancel', 'bury')
    returning j.*, h.verb, h.output, h.reason, h.diagnostics, h.error_fingerprint, h.errors as all_errors
),
passed as (
    -- A dead job keeps what it has left on its way, for when it is requeued.
    delete from callboard.checkpoints
     where id = any(array(select id from ended where verb in ('complete', 'cancel')))
),
moved as (
    update callboard.jobs j
       set state = case h.verb when 'retry' then 'retryable' when 'snooze' then 'scheduled'
                               else 'available' end,
           is_ready = h.verb = 'release', has_turn = false, is_limited = false,
           failures = j.failures + case h.verb when 'retry' then 1 else 0 end,
           -- Of a released job: since when it waits for a worker again.
           due_at = clock_timestamp() + coalesce(h.after_ms, 0) * interval '1 millisecond',
           node = null,
           errors = h.errors
      from held h
     where j.id = h.id and h.verb in ('retry', 'snooze', 'release')
),
logged as (
    insert into callboard.history
           (id, enqueued_at, attempted_at, node, attempt, state, queue, kind, output, errors)
    select id, enqueued_at, attempted_at, node, attempt,
           case verb when 'complete' then 'completed' else 'cancelled' end, queue, kind, output, all_errors
      from ended
     where verb in ('complete', 'cancel')
),
buried as (
    insert into callboard.dead_letters
           (id, args_fingerprint, enqueued_at, attempted_at, node, time_limit_ms, attempt, failures,
            deaths, args_version, priority, max_attempts, reason, queue, kind, ordering_key,
            limit_key, backoff, error_fingerprint, errors, diagnostics, traceparent, args)
    select id, args_fingerprint, enqueued_at, attempted_at, node, time_limit_ms, attempt, failures + 1,
           deaths, args_version, priority, max_attempts, reason, queue, kind, ordering_key,
           limit_key, backoff,
           coalesce(error_fingerprint, 0), coalesce(all_errors, '[]'),
           coalesce(diagnostics, '{}')::jsonb || jsonb_build_object('queue_depth',
               (select count(*) from (select from callboard.jobs q
                                       where q.queue = ended.queue and q.is_ready and q.state = 'available'
                                         and not q.is_behind
                                       limit 10000) as capped)),
           traceparent, args
      from ended
     where verb = 'bury'
)
select coalesce(array_agg(id), '{}') from held
