-- Says which queues and kinds a node serves, what it reads of each kind, and how the code is called that runs
-- it. A node that is not on the list says so as it registers.
update callboard.nodes set queues = $2, kinds = $3, args_versions = $4, code_versions = $5 where id = $1
