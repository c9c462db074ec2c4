-- What earlier attempts of a job have kept for this one. No row: the job is not this attempt's any more.
select c.fingerprint, c.checkpoint
  from callboard.jobs j left join callboard.checkpoints c on c.id = j.id
 where j.id = $1 and j.attempt = $2 and j.node = $3 and j.state = 'executing'
