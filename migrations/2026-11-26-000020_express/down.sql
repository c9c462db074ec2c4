drop table express_batches;
