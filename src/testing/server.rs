//! The PostgreSQL server of a test process, and the template that its databases are copied from.
//!
//! Known to [`ThrowawayDatabase`](super::ThrowawayDatabase) alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::OnceCell;

use crate::Error;
use crate::random::random_bits;
use crate::store::Database;
use crate::store::embedded::Embedded;

/// A server on which tests make databases.
#[derive(Debug)]
pub(super) struct Server {
    maintenance: Database,
    url: String,
    template: OnceCell<String>,
    /// Ends with the process, however that ends.
    _embedded: Option<Embedded>,
}

impl Server {
    /// The embedded server of this process, started by whoever needs it first.
    pub(super) async fn shared() -> Result<Arc<Self>, Error> {
        static SHARED: OnceCell<Arc<Server>> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::embedded).await.cloned()
    }

    async fn embedded() -> Result<Arc<Self>, Error> {
        let failed = |cause| {
            Error::connect("cannot start the PostgreSQL server of these tests").because(cause)
        };
        let embedded = Embedded::builder().start().await.map_err(failed)?;
        let mut server = Self::at(embedded.url())?;
        server._embedded = Some(embedded);
        Ok(Arc::new(server))
    }

    /// A server of somebody else's; the user may create databases there.
    pub(super) fn at(url: &str) -> Result<Self, Error> {
        Ok(Self {
            maintenance: Database::from_url(url)?,
            url: url.to_owned(),
            template: OnceCell::new(),
            _embedded: None,
        })
    }

    /// Creates a database, migrated or empty, and tells its name.
    pub(super) async fn create(&self, contents: Contents) -> Result<String, Error> {
        let name = fresh_name("db");
        let template = match contents {
            Contents::Empty => None,
            Contents::Migrated => Some(self.template().await?),
        };
        self.maintenance.create_database(&name, template).await?;
        Ok(name)
    }

    async fn template(&self) -> Result<&str, Error> {
        let name = self.template.get_or_try_init(|| async {
            let template = format!("callboard_template_{}", Database::schema_version());
            let unique = fresh_name("template");
            let made = Database::from_url(&self.url_of(&unique))?;
            let making = self.maintenance.make_template(&template, (&unique, &made));
            making.await.map(|()| template)
        });
        name.await.map(String::as_str)
    }

    pub(super) async fn drop_database(&self, name: &str) -> Result<(), Error> {
        self.maintenance.drop_database(name).await
    }

    /// The URL of a database here.
    pub(super) fn url_of(&self, name: &str) -> String {
        let (address, options) = match self.url.split_once('?') {
            Some((address, options)) => (address, format!("?{options}")),
            None => (&*self.url, String::new()),
        };
        let after_scheme = address.find("://").map_or(0, |at| at + 3);
        let end = address[after_scheme..]
            .find('/')
            .map_or(address.len(), |at| after_scheme + at);
        format!("{}/{name}{options}", &address[..end])
    }
}

/// What a new database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    Empty,
    Migrated,
}

/// A name that no other process uses, even on a shared server.
fn fresh_name(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    format!(
        "callboard_test_{what}_{process}_{number}_{:08x}",
        random_bits() as u32
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_in_the_url_whatever_else_stands_there() {
        let named = |url: &str| Server::at(url).expect("the URL is valid").url_of("x");
        assert_eq!(named("postgres://u:p@h:1/postgres"), "postgres://u:p@h:1/x");
        assert_eq!(named("postgres://h"), "postgres://h/x");
        assert_eq!(
            named("postgresql://h/a?connect_timeout=3"),
            "postgresql://h/x?connect_timeout=3"
        );
    }
}
