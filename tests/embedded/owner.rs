//! An owner that can be killed: this very test binary, run again with `EMB_OWNER` set.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use callboard::store::embedded::Embedded;

/// What the owner process says of its server.
pub(crate) struct Owner {
    pub(crate) process: Child,
    pub(crate) url: String,
    pub(crate) server: u32,
    pub(crate) folder: PathBuf,
}

impl Owner {
    pub(crate) fn start(folder: Option<&Path>) -> Self {
        let name = format!(
            "owner-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        );
        let report = std::env::temp_dir().join(name.replace(['(', ')'], ""));
        let process = Self::spawn(&report, folder.unwrap_or(Path::new("")));
        let end = Instant::now() + Duration::from_secs(60);
        let text = loop {
            let text = fs::read_to_string(&report).unwrap_or_default();
            if text.ends_with("end") {
                break text;
            }
            assert!(
                Instant::now() < end,
                "the owner process did not report within 60 s"
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        fs::remove_file(report).unwrap();
        let mut lines = text.lines().map(str::to_owned);
        let mut next = || lines.next().unwrap();
        Self {
            process,
            url: next(),
            server: next().parse().unwrap(),
            folder: next().into(),
        }
    }

    pub(crate) fn spawn(report: &Path, folder: &Path) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "owner::owner_process", "--nocapture"]);
        command.env("EMB_OWNER", report).env("EMB_FOLDER", folder);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Kills the owner, which leaves its server running.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Not a test: the body of an owner process, which waits to be killed.
#[test]
fn owner_process() {
    let Some(report) = std::env::var_os("EMB_OWNER") else {
        return;
    };
    let folder = std::env::var("EMB_FOLDER").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let builder = if folder.is_empty() {
        Embedded::builder()
    } else {
        Embedded::builder().data_dir(folder)
    };
    let server = runtime.block_on(builder.start()).unwrap();
    let text = format!(
        "{}\n{}\n{}\nend",
        server.url(),
        server.pid(),
        server.folder().display()
    );
    fs::write(report, text).unwrap();
    std::thread::sleep(Duration::from_secs(120));
}
