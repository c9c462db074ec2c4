-- How the queues are to be served by a node ($1): what was said to all nodes, and to this one.
select queue, node, mode, workers
  from callboard.queue_settings
 where node in (0, $1)
