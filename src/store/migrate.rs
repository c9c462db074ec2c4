//! Migrations: run in the board's own schema, under an advisory lock, by any number of processes
//! at once.
//!
//! The bookkeeping is diesel's own table, but in the board's schema, so diesel's command line can
//! take over and the application's migrations are never touched.

use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use super::Database;
use super::pool::{Lane, connect, within};
use super::session::failed;
use super::statement::{Bind, Statement, typed};
use crate::Error;

/// A migration, compiled in.
struct Migration {
    /// What diesel makes of the folder's name: its digits up to the underscore.
    version: &'static str,
    up: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: "20261124000001",
        up: include_str!("../../migrations/2026-11-24-000001_board/up.sql"),
    },
    Migration {
        version: "20261125000002",
        up: include_str!("../../migrations/2026-11-25-000002_birth/up.sql"),
    },
    Migration {
        version: "20261125000004",
        up: include_str!("../../migrations/2026-11-25-000004_control/up.sql"),
    },
    Migration {
        version: "20261125000005",
        up: include_str!("../../migrations/2026-11-25-000005_trace/up.sql"),
    },
    Migration {
        version: "20261125000006",
        up: include_str!("../../migrations/2026-11-25-000006_letters/up.sql"),
    },
    Migration {
        version: "20261125000007",
        up: include_str!("../../migrations/2026-11-25-000007_breaker/up.sql"),
    },
    Migration {
        version: "20261125000008",
        up: include_str!("../../migrations/2026-11-25-000008_limits/up.sql"),
    },
    Migration {
        version: "20261126000020",
        up: include_str!("../../migrations/2026-11-26-000020_express/up.sql"),
    },
    Migration {
        version: "20261126000021",
        up: include_str!("../../migrations/2026-11-26-000021_swap/up.sql"),
    },
    Migration {
        version: "20261126000030",
        up: include_str!("../../migrations/2026-11-26-000030_lean/up.sql"),
    },
    Migration {
        version: "20261126000031",
        up: include_str!("../../migrations/2026-11-26-000031_limited_claims/up.sql"),
    },
    Migration {
        version: "20261126000040",
        up: include_str!("../../migrations/2026-11-26-000040_in_place/up.sql"),
    },
];

/// A migration may take longer than other statements: as long as so many of them.
const STATEMENTS_LONG: u32 = 40;

/// How a database stands to this build.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    UpToDate,
    Missing(Vec<&'static str>),
    Newer(String),
}

fn standing(found: &[String]) -> Standing {
    let known = |version: &&String| MIGRATIONS.iter().all(|m| m.version != version.as_str());
    if let Some(newer) = found.iter().filter(known).max() {
        return Standing::Newer(newer.clone());
    }
    let missing = MIGRATIONS
        .iter()
        .map(|m| m.version)
        .filter(|v| !found.iter().any(|f| f == v));
    match missing.collect::<Vec<_>>() {
        none if none.is_empty() => Standing::UpToDate,
        some => Standing::Missing(some),
    }
}

impl Database {
    /// Brings the board's schema to this build's version; creates it if need be. Any number of
    /// processes may do this at once; a schema that is up to date costs a few questions. It may take forty
    /// times the [`statement_timeout`](Self::statement_timeout): ten minutes, unless configured.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`], and [`Error::is_schema`] when the schema was made by a newer build
    /// or the database user may not create it.
    pub async fn migrate(&self) -> Result<(), Error> {
        self.check()?;
        let mut connection = connect(self, Lane::General).await?;
        let migrating = async {
            run(
                &mut connection,
                "set statement_timeout = 0; set lock_timeout = '60s'",
            )
            .await?;
            if self.standing(&mut connection).await? == Standing::UpToDate {
                return Ok(());
            }
            // Released by the server when the connection goes, however that happens.
            run(
                &mut connection,
                "begin; select pg_advisory_xact_lock(4843527210917)",
            )
            .await?;
            self.migrate_locked(&mut connection).await?;
            run(&mut connection, "commit").await
        };
        let limit = self.statement_limit() * STATEMENTS_LONG;
        within(limit, "migrate the board's schema", migrating).await
    }

    /// Names the schema that this build makes: what a template of another build does not have.
    #[cfg(feature = "testing")]
    pub(crate) fn schema_version() -> String {
        use std::hash::{Hash as _, Hasher as _};
        let mut hasher = std::hash::DefaultHasher::new();
        for migration in MIGRATIONS {
            (migration.version, migration.up).hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }

    async fn migrate_locked(&self, connection: &mut AsyncPgConnection) -> Result<(), Error> {
        let standing = self.standing(connection).await?;
        let missing = match &standing {
            Standing::UpToDate => return Ok(()),
            Standing::Newer(_) => return Err(self.unfit(&standing)),
            Standing::Missing(versions) => versions,
        };
        let schema = self.schema_name();
        let prepare = format!(
            "create schema if not exists \"{schema}\"; set local search_path to \"{schema}\"; \
             create table if not exists __diesel_schema_migrations (\
                version varchar(50) primary key, run_on timestamp not null default current_timestamp)"
        );
        run(connection, &prepare).await?;
        for migration in MIGRATIONS.iter().filter(|m| missing.contains(&m.version)) {
            run(connection, migration.up).await?;
            let record = "insert into __diesel_schema_migrations (version) values ($1)";
            let recording = diesel::sql_query(record).bind::<Text, _>(migration.version);
            recording
                .execute(connection)
                .await
                .map_err(|cause| failed("record a migration", cause))?;
            tracing::info!(
                schema,
                version = migration.version,
                "migrated the board's schema"
            );
        }
        Ok(())
    }

    /// Checks that the schema is this build's, without changing anything.
    pub(crate) async fn check_schema(&self) -> Result<(), Error> {
        let mut connection = connect(self, Lane::General).await?;
        let asking = self.standing(&mut connection);
        let verb = "read the version of the board's schema";
        match within(self.statement_limit(), verb, asking).await? {
            Standing::UpToDate => Ok(()),
            other => Err(self.unfit(&other)),
        }
    }

    fn unfit(&self, standing: &Standing) -> Error {
        let (schema, place) = (self.schema_name(), self.place());
        Error::schema(match standing {
            Standing::Newer(version) => format!(
                "the schema \"{schema}\" at {place} is at migration {version}, which this build of \
                 callboard {} does not know; deploy a build at least as new as the one that migrated it",
                env!("CARGO_PKG_VERSION")
            ),
            _ => format!(
                "the schema \"{schema}\" at {place} is not migrated for this build; start a board there, \
                 call Database::migrate, or run `diesel migration run` as migrations/README.md says"
            ),
        })
    }

    async fn standing(&self, connection: &mut AsyncPgConnection) -> Result<Standing, Error> {
        // Read from the catalog's tables: to_regclass answers from a cache, which in an open
        // transaction does not know what was committed while this one waited for the lock.
        let exists = Statement::new(
            "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
              where n.nspname = $1 and c.relname = '__diesel_schema_migrations'",
            "",
        );
        let schema = self.schema_name();
        let binds: [&dyn Bind; 1] = [&typed::<Text, _>(&schema)];
        let found: Vec<String> = exists
            .bind::<Text>(&binds)
            .load(connection)
            .await
            .map_err(|cause| failed("look for the board's schema", cause))?;
        if found.is_empty() {
            return Ok(standing(&[]));
        }
        let text = "select version::text from callboard.__diesel_schema_migrations";
        let versions = Statement::new(text, self.schema_name());
        let found: Vec<String> = versions
            .bind::<Text>(&[])
            .load(connection)
            .await
            .map_err(|cause| failed("read the schema's version", cause))?;
        Ok(standing(&found))
    }
}

async fn run(connection: &mut AsyncPgConnection, sql: &str) -> Result<(), Error> {
    let done = connection.batch_execute(sql).await;
    done.map_err(|cause| Error::schema("cannot migrate the board's schema").because(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_with_what_is_compiled_in() {
        let versions: Vec<&str> = MIGRATIONS.iter().map(|m| m.version).collect();
        let mut found: Vec<String> = versions.iter().map(ToString::to_string).collect();
        assert_eq!(standing(&[]), Standing::Missing(versions.clone()));
        assert_eq!(
            standing(&found[..1]),
            Standing::Missing(versions[1..].to_vec())
        );
        assert_eq!(standing(&found), Standing::UpToDate);
        let newer = "29990101000000".to_owned();
        found.push(newer.clone());
        assert_eq!(standing(&found), Standing::Newer(newer));
    }

    #[test]
    fn every_migration_of_the_folder_is_compiled_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut versions: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| Some(name.split_once('_')?.0.replace('-', "")))
            .collect();
        versions.sort();
        assert_eq!(
            versions,
            MIGRATIONS.iter().map(|m| m.version).collect::<Vec<_>>()
        );
    }
}
