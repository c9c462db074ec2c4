-- Says which queues and kinds a node serves. One that is not on the list says so as it registers.
update callboard.nodes set queues = $2, kinds = $3 where id = $1
