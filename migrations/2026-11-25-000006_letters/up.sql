-- Which dead letters are alike: what their last errors have in common, computed by the node that buries
-- them. Zero: by a build that computed none. A group is a kind and one of these.
alter table dead_letters add column error_fingerprint bigint not null default 0;

-- The list is read from its newest end, page by page. The groups are counted, and their letters found,
-- from the index alone. Letters are few and written once, so two indexes cost little.
create index dead_letters_buried on dead_letters (buried_at, id);
create index dead_letters_group on dead_letters (kind, error_fingerprint, buried_at, id);
drop index dead_letters_kind;
