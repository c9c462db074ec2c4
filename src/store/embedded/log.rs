//! The server's log file and quotations from it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A log larger than this is set aside, replacing the one set aside before, when a server starts.
const LARGEST: u64 = 16 * 1024 * 1024;

const QUOTED_LINES: usize = 15;
const QUOTED_BYTES: u64 = 8 * 1024;

/// The log from one moment on.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    /// Opens the log at `path` to append; what is there already will not be quoted.
    pub(super) fn open(path: &Path) -> io::Result<(Self, File)> {
        let size = fs::metadata(path).map_or(0, |meta| meta.len());
        if size > LARGEST {
            fs::rename(path, path.with_extension("log.old"))?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let from = file.metadata()?.len();
        Ok((
            Self {
                path: path.to_owned(),
                from,
            },
            file,
        ))
    }

    /// The last lines since it was opened; an unreadable log is quoted as empty.
    pub(super) fn tail(&self) -> Vec<String> {
        let text = self.read().unwrap_or_default();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(QUOTED_LINES)..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect()
    }

    fn read(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let start = self
            .from
            .max(file.metadata()?.len().saturating_sub(QUOTED_BYTES));
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(QUOTED_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_lines_since_the_opening_are_quoted_and_a_large_log_is_set_aside() {
        let path = std::env::temp_dir().join(format!("emb-log-{}.log", std::process::id()));
        fs::write(&path, "from the run before\n").unwrap();
        let (log, mut file) = Log::open(&path).unwrap();
        assert_eq!(log.tail(), Vec::<String>::new());
        let text: String = (0..20).map(|line| format!("line {line}\n\n")).collect();
        file.write_all(text.as_bytes()).unwrap();
        let tail = log.tail();
        assert_eq!(
            (tail.len(), tail[0].as_str(), tail[14].as_str()),
            (15, "line 5", "line 19")
        );
        file.set_len(LARGEST + 1).unwrap();
        let (_, file) = Log::open(&path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert_eq!(
            fs::metadata(path.with_extension("log.old")).unwrap().len(),
            LARGEST + 1
        );
        fs::remove_file(path.with_extension("log.old")).unwrap();
        fs::remove_file(path).unwrap();
    }
}
