//! The work: the files of a folder, one job each, into a table of the application's own.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use callboard::handler::Blocking;
use callboard::{BoxError, Context, Database};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use sha2::{Digest, Sha256};

/// The job's id is the key: were a result ever written twice, this would refuse it.
const TABLE: &str = "
    create schema if not exists quickstart;
    create table if not exists quickstart.files (
        job     bigint primary key,
        attempt integer not null,
        path    text    not null,
        bytes   bigint  not null,
        lines   bigint  not null,
        words   bigint  not null,
        sha256  text    not null,
        took_us bigint  not null
    );";

diesel::table! {
    quickstart.files (job) {
        job -> BigInt,
        attempt -> Integer,
        path -> Text,
        bytes -> BigInt,
        lines -> BigInt,
        words -> BigInt,
        sha256 -> Text,
        took_us -> BigInt,
    }
}

pub(crate) async fn create_table(database: &Database) -> Result<(), BoxError> {
    let mut connection = database.connect().await?;
    Ok(connection.batch_execute(TABLE).await?)
}

/// The job: measures a file, and writes the result in the transaction that completes the job. So it
/// is written exactly once, however often the job runs.
pub(crate) async fn measure(cx: &mut Context, path: String) -> Result<(), BoxError> {
    let began = Instant::now();
    let file = PathBuf::from(&path);
    // Reading and hashing block their thread, so they are done on one that may be blocked.
    let measured = cx
        .spawn_blocking(move |work| Measured::read(&file, work))
        .await?;
    let measured = measured.map_err(|why| format!("cannot read {path}: {why}"))?;
    let result = (
        files::job.eq(cx.job_id().as_i64()),
        files::attempt.eq(cx.attempt().as_i32()),
        files::path.eq(path),
        files::bytes.eq(measured.bytes),
        files::lines.eq(measured.lines),
        files::words.eq(measured.words),
        files::sha256.eq(measured.sha256),
        files::took_us.eq(began.elapsed().as_micros() as i64),
    );
    let completion = cx.completion();
    cx.state::<AsyncPgConnection>()?
        .transaction(async |tx| {
            let insert = diesel::insert_into(files::table).values(result);
            insert.execute(tx).await?;
            Ok(completion.complete_in(tx).await?)
        })
        .await
}

/// What is in a file. A word is whatever stands between ASCII white space.
#[derive(Debug, Default, PartialEq)]
struct Measured {
    bytes: i64,
    lines: i64,
    words: i64,
    sha256: String,
}

impl Measured {
    fn read(path: &Path, work: &Blocking) -> Result<Self, BoxError> {
        let mut file = File::open(path)?;
        let mut measured = Self::default();
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut is_in_word = false;
        loop {
            // A cancelled job ends here, and not after the last gigabyte.
            work.check()?;
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            let chunk = &buffer[..read];
            hash.update(chunk);
            measured.bytes += read as i64;
            for byte in chunk {
                measured.lines += i64::from(*byte == b'\n');
                let is_space = byte.is_ascii_whitespace() || *byte == 0x0b;
                measured.words += i64::from(is_in_word && is_space);
                is_in_word = !is_space;
            }
        }
        measured.words += i64::from(is_in_word);
        measured.sha256 = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(measured)
    }
}

/// The files under a folder.
pub(crate) struct Folder {
    root: PathBuf,
    pub(crate) paths: Vec<String>,
    bytes: u64,
    /// Names that are not Unicode, and folders that may not be entered.
    skipped: u64,
}

impl Folder {
    /// Lists a folder, without `.git`, `target` and whatever is not a plain file.
    pub(crate) fn read(root: PathBuf) -> Result<Self, BoxError> {
        let found = root.canonicalize().and_then(|root| {
            std::fs::read_dir(&root)?;
            Ok(root)
        });
        let root =
            found.map_err(|why| format!("cannot read the folder {}: {why}", root.display()))?;
        let mut folder = Self {
            root: root.clone(),
            paths: Vec::new(),
            bytes: 0,
            skipped: 0,
        };
        folder.descend(&root);
        if folder.paths.is_empty() {
            return Err(format!("there are no files in {}", root.display()).into());
        }
        Ok(folder)
    }

    /// A path of this folder as one sees it from there.
    pub(crate) fn relative<'a>(&self, path: &'a str) -> &'a str {
        let inside = Path::new(path).strip_prefix(&self.root).ok();
        inside.and_then(Path::to_str).unwrap_or(path)
    }

    fn descend(&mut self, folder: &Path) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            self.skipped += 1;
            return;
        };
        for entry in entries.flatten() {
            let Ok(of) = entry.metadata() else { continue };
            if of.is_dir() && entry.file_name() != ".git" && entry.file_name() != "target" {
                self.descend(&entry.path());
            } else if of.is_file() {
                match entry.path().into_os_string().into_string() {
                    Ok(path) => self.paths.push(path),
                    Err(_) => self.skipped += 1,
                }
                self.bytes += of.len();
            }
        }
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.bytes as f64 / 1e6;
        let (root, count) = (self.root.display(), self.paths.len());
        write!(f, "  folder     {root}: {count} files, {megabytes:.1} MB")?;
        if self.skipped > 0 {
            write!(
                f,
                "\n             {} entries could not be listed",
                self.skipped
            )?;
        }
        Ok(())
    }
}
