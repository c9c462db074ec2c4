-- Forgets the buckets of keys that are full again: a key without one has a full one.
delete from callboard.limit_keys k
 where not exists (select from callboard.limits l
                    where l.queue = k.queue and l.starts_per_key is not null
                      and k.refilled_at > clock_timestamp() - l.starts_per_key_every_ms * interval '1 millisecond')
