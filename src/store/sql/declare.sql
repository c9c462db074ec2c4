-- Puts the breakers of a node on the list, as closed if they are new, and says which kinds share each.
-- $1: their names. $2 and $3 side by side: kinds, and the breaker of each. $4: every kind that the node knows;
-- another breaker may have had it. $5: who declares it.
with disowned as (
    update callboard.breakers b
       set kinds = array(select kind from unnest(b.kinds) as had (kind) where kind <> all($4::text[]) order by kind)
     where b.name <> all($1::text[]) and b.kinds && $4::text[]
)
insert into callboard.breakers as b (name, changed_by, kinds)
select d.name, $5, array(select g.kind from unnest($2::text[], $3::text[]) as g (kind, breaker)
                          where g.breaker = d.name order by g.kind)
  from unnest($1::text[]) as d (name)
 order by d.name
    on conflict (name) do update
   set kinds = array(select kind from unnest(b.kinds) as had (kind) where kind <> all($4::text[])
                     union select kind from unnest(excluded.kinds) as has (kind)
                     order by kind)
