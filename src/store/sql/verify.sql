-- Unfinished jobs with ids above $1, in the order of their ids: at most $2, and no more once they have $3 bytes of
-- arguments together.
select id, kind, args_version, args_fingerprint, args
  from (select id, kind, args_version, args_fingerprint, args,
               sum(octet_length(args)) over (order by id) - octet_length(args) as bytes_before
          from (select id, kind, args_version, args_fingerprint, args
                  from callboard.jobs
                 where id > $1
                 order by id
                 limit $2) as next) as part
 where bytes_before < $3
 order by id
