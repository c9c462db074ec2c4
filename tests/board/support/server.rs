//! One PostgreSQL server for the whole test run, gone with it.
//!
//! A child process owns the server: this test binary again, running the ignored test below. It waits
//! for the end of its standard input, which comes when the tests end, however they end.

use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use callboard::Database;
use callboard::store::embedded::Embedded;
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

const TEMPLATE: &str = "callboard_template";

struct Server {
    url: String,
    _owner: Child,
    /// Kept open: the owner is a test too, and says so after a minute.
    _heard: Lines<BufReader<ChildStdout>>,
    /// Closed by the end of this process.
    _alive: ChildStdin,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let mut owner = Command::new(std::env::current_exe().expect("a test has an executable"))
            .args([
                "--exact",
                "support::server::owner",
                "--ignored",
                "--nocapture",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server's owner starts");
        let mut lines = BufReader::new(owner.stdout.take().expect("stdout is piped")).lines();
        let url = lines
            .find_map(|line| line.ok()?.strip_prefix("URL ").map(str::to_owned))
            .expect("the owner tells the server's URL");
        let alive = owner.stdin.take().expect("stdin is piped");
        Server {
            url,
            _owner: owner,
            _heard: lines,
            _alive: alive,
        }
    })
}

/// The URL of the server's maintenance database.
pub fn url() -> &'static str {
    &server().url
}

#[test]
#[ignore = "the owner of the server, started by the other tests"]
fn owner() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let server = runtime
        .block_on(Embedded::builder().start())
        .expect("PostgreSQL starts");
    println!("\nURL {}", server.url());
    let mut until_the_end = Vec::new();
    std::io::stdin()
        .read_to_end(&mut until_the_end)
        .expect("stdin ends");
    drop(server);
    // Nobody is left to hear how this test went.
    std::process::exit(0);
}

/// Runs SQL on a database.
pub async fn sql(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("the server answers");
    let driver = tokio::spawn(connection);
    client
        .batch_execute(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    drop(client);
    driver
        .await
        .expect("the driver ends")
        .expect("the connection ends well");
}

/// The URL of another database of the server.
fn url_of(database: &str) -> String {
    let (server, _) = url()
        .rsplit_once('/')
        .expect("the URL ends with a database");
    format!("{server}/{database}")
}

/// An empty database of its own.
pub async fn empty_database() -> String {
    let name = fresh_name();
    sql(url(), &format!("create database {name}")).await;
    url_of(&name)
}

/// A migrated database of its own.
pub async fn fresh_database() -> String {
    static MIGRATED: OnceCell<()> = OnceCell::const_new();
    MIGRATED
        .get_or_init(|| async {
            sql(url(), &format!("create database {TEMPLATE}")).await;
            let template = Database::from_url(&url_of(TEMPLATE)).expect("the URL is valid");
            template.migrate().await.expect("the template migrates");
            sql(&url_of(TEMPLATE), "select callboard.history_prepare(3)").await;
        })
        .await;
    // The connection that migrated it may still be closing.
    let name = fresh_name();
    let create = format!("create database {name} template {TEMPLATE}");
    let disconnect = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{TEMPLATE}'"
    );
    sql(url(), &disconnect).await;
    sql(url(), &create).await;
    url_of(&name)
}

fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
