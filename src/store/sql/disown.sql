-- Says of batches of the express lane whose transactions are over that nobody died of them: their jobs are free.
update callboard.express_batches set is_disowned = true where batch = any($1::bigint[])
