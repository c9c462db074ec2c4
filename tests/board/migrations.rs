//! Every migration can be taken back, and leaves what was before it.

use std::path::{Path, PathBuf};

use crate::support::{server, sql};

/// All that a schema has, a line for each, whatever its order; bodies of functions without comments and white space.
const CATALOGUE: &str = r#"
    with ours as (select 'callboard'::regnamespace as schema),
    lines as (
        select format('column %s.%s: %s%s%s, storage %s, default %s', c.relname, a.attname,
                      format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' end,
                      nullif(' identity ' || a.attidentity::text, ' identity '), a.attstorage,
                      pg_get_expr(d.adbin, d.adrelid)) as line
          from pg_class c
          join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum, ours
         where c.relnamespace = schema and c.relkind in ('r', 'v')
        union all
        select format('relation %s: %s, %s', relname, relkind,
                      (select array_agg(option order by option) from unnest(reloptions) as option))
          from pg_class, ours where relnamespace = schema
        union all
        select format('index %s', pg_get_indexdef(indexrelid))
          from pg_index join pg_class c on c.oid = indexrelid, ours where relnamespace = schema
        union all
        select format('constraint %s of %s%s: %s', conname, conrelid::regclass, contypid::regtype,
                      pg_get_constraintdef(oid))
          from pg_constraint, ours where connamespace = schema
        union all
        select format('view %s: %s', relname, pg_get_viewdef(oid))
          from pg_class, ours where relnamespace = schema and relkind = 'v'
        union all
        select format('function %s: %s', oid::regprocedure,
                      regexp_replace(regexp_replace(pg_get_functiondef(oid), '--[^\n]*', '', 'g'), '\s+', ' ', 'g'))
          from pg_proc, ours where pronamespace = schema
        union all
        select format('domain %s of %s', typname, format_type(typbasetype, typtypmod))
          from pg_type, ours where typnamespace = schema and typtype = 'd'
        union all
        select format('trigger %s', pg_get_triggerdef(t.oid))
          from pg_trigger t join pg_class c on c.oid = tgrelid, ours
         where relnamespace = schema and not tgisinternal
    )
    select line from lines order by line collate "C""#;

struct Migration {
    path: PathBuf,
}

impl Migration {
    fn all() -> Vec<Self> {
        let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let entries = all.read_dir().unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
        paths.sort();
        paths.into_iter().map(|path| Self { path }).collect()
    }

    async fn run(&self, file: &str, rows: &tokio_postgres::Client) {
        let path = self.path.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let done = rows.batch_execute(&format!("begin; {text}; commit")).await;
        done.unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
    }
}

async fn catalogue(rows: &tokio_postgres::Client) -> Vec<String> {
    let lines = rows.query(CATALOGUE, &[]).await.unwrap();
    lines.iter().map(|line| line.get(0)).collect()
}

/// Those of `left` that `right` has not.
fn less(left: &[String], right: &[String]) -> Vec<String> {
    let is_missing = |line: &&String| !right.contains(line);
    left.iter().filter(is_missing).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_migration_goes_back_to_what_was_before_it() {
    let rows = sql::connect(&server::empty_database().await).await;
    rows.batch_execute("create schema callboard; set search_path = callboard")
        .await
        .unwrap();
    let (migrations, mut before) = (Migration::all(), Vec::new());
    for migration in &migrations {
        before.push(catalogue(&rows).await);
        migration.run("up.sql", &rows).await;
    }
    assert!(catalogue(&rows).await.len() > 100, "it sees all there is");
    for (migration, before) in migrations.iter().zip(before).rev() {
        migration.run("down.sql", &rows).await;
        let after = catalogue(&rows).await;
        let (lost, left) = (less(&before, &after), less(&after, &before));
        assert!(
            lost.is_empty() && left.is_empty(),
            "after {} went back, these were lost: {lost:#?}, and these left: {left:#?}",
            migration.path.display()
        );
        // And forth again, with what it may have left.
        migration.run("up.sql", &rows).await;
        migration.run("down.sql", &rows).await;
    }
}
