-- Strikes out a batch of the express lane whose transaction was lost. It waits for that transaction, should it
-- still be about to end the batch; so if nothing is found, it has (or a crash of the server lost the row, which
-- is why finished.sql is asked then), and afterwards it cannot any more.
delete from callboard.express_batches where batch = $1
