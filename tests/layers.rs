//! The folders of the crate know only what lies below them.
//!
//! Reads the sources. What a folder may import stands in `FOLDERS`; which outside crate is at home
//! where stands in `HOMES`. Comments are not code: docs may link to whatever they like.

use std::fs;
use std::path::{Path, PathBuf};

/// Every folder under `src/`, and the other folders it may use.
const FOLDERS: &[(&str, &[&str])] = &[
    ("job", &[]),
    ("store", &["job"]),
    ("supervision", &[]),
    ("stage", &["supervision"]),
    ("event", &["job", "store", "supervision"]),
    ("client", &["job", "store", "supervision", "event"]),
    ("handler", &["job", "store", "event", "client"]),
    (
        "queue",
        &[
            "job",
            "store",
            "supervision",
            "stage",
            "event",
            "client",
            "handler",
        ],
    ),
    (
        "board",
        &[
            "job",
            "store",
            "supervision",
            "stage",
            "event",
            "client",
            "handler",
            "queue",
        ],
    ),
    (
        "testing",
        &[
            "job",
            "store",
            "supervision",
            "stage",
            "event",
            "client",
            "handler",
            "queue",
            "board",
        ],
    ),
];

/// What every folder may use of the crate's root.
const COMMON: &[&str] = &[
    "Error",
    "BoxError",
    "random",
    "planted",
    "__private",
    "__wanted",
];

/// Outside crates, and the places under `src/` where alone they are known.
const HOMES: &[(&str, &[&str])] = &[
    ("diesel", &["store/"]),
    ("diesel_async", &["store/"]),
    ("tokio_postgres", &["store/"]),
    ("postgres_types", &["store/"]),
    // The tests of the fingerprint show what it guards against.
    (
        "postcard",
        &[
            "job/payload.rs",
            "job/fingerprint/tests/",
            // Between two processes of one program.
            "handler/isolation/frame.rs",
        ],
    ),
    ("metrics", &["event/"]),
    (
        "ractor",
        &["supervision/", "stage/", "queue/", "board/", "testing/"],
    ),
    (
        "tokio",
        &[
            "store/",
            "supervision/",
            "stage/",
            "event/",
            "client/",
            "handler/",
            "queue/",
            "board/",
            "testing/",
        ],
    ),
];

/// How SQL begins.
const SQL: &[&str] = &[
    "select ",
    "insert into ",
    "delete from ",
    "update ",
    "with ",
    "create table ",
    "listen ",
    "notify ",
];

/// A line of code without its comment.
struct Line {
    number: usize,
    code: String,
}

struct Source {
    /// Relative to `src/`, with slashes.
    name: String,
    lines: Vec<Line>,
}

impl Source {
    fn folder(&self) -> Option<&str> {
        self.name.split_once('/').map(|(folder, _)| folder)
    }

    fn place(&self, line: &Line) -> String {
        format!("src/{}:{}: {}", self.name, line.number, line.code.trim())
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    assert!(paths.len() > 50, "only {} sources found", paths.len());
    paths.iter().map(|path| read(&root, path)).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            paths.push(path);
        }
    }
}

fn read(root: &Path, path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap();
    let numbered = text.lines().zip(1..);
    Source {
        name: path
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .replace('\\', "/"),
        lines: numbered
            .map(|(line, number)| Line {
                number,
                code: without_comment(line).to_owned(),
            })
            .collect(),
    }
}

/// `//` begins a comment unless it is part of a URL in a string.
fn without_comment(line: &str) -> &str {
    let mut begins = line.match_indices("//").map(|(at, _)| at);
    let comment = begins.find(|at| !line[..*at].ends_with(':'));
    comment.map_or(line, |at| &line[..at])
}

/// What follows each `path` in a line, where `path` is not the end of a longer word.
fn after<'a>(code: &'a str, path: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(path).filter_map(move |(at, _)| {
        let before = code[..at].chars().next_back();
        let is_whole = before.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        is_whole.then_some(&code[at + path.len()..])
    })
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The first names of all paths from the crate's root that begin in this line, which may open a
/// group: `crate::{Error, job::JobId}`.
fn roots(source: &Source, index: usize) -> Vec<String> {
    let code = &source.lines[index].code;
    let paths = after(code, "crate::").flat_map(|rest| {
        if rest.starts_with('{') {
            let rest_of_file = source.lines[index + 1..].iter().map(|line| &*line.code);
            let text: String = std::iter::once(rest).chain(rest_of_file).collect();
            group(&text)
        } else {
            vec![word(rest).to_owned()]
        }
    });
    paths.collect()
}

/// The first name of each member of a group.
fn group(text: &str) -> Vec<String> {
    let (mut depth, mut member, mut members) = (0, String::new(), Vec::new());
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => members.push(std::mem::take(&mut member)),
            c if depth >= 1 => member.push(c),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    members.push(member);
    let names = members.iter().map(|member| word(member.trim()).to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

/// Which folder a name of the crate's root belongs to: itself, or where it is re-exported from.
fn home(name: &str, lib: &Source) -> Option<String> {
    if FOLDERS.iter().any(|(folder, _)| *folder == name) {
        return Some(name.to_owned());
    }
    let re_exports = |line: &&Line| {
        let code = line.code.trim_start();
        code.starts_with("pub use ") && after(code, name).any(|rest| word(rest).is_empty())
    };
    let line = lib.lines.iter().find(re_exports)?;
    Some(word(line.code.trim_start().strip_prefix("pub use ")?).to_owned())
}

fn assert_none(what: &str, places: &[String]) {
    assert!(places.is_empty(), "{what}:\n  {}", places.join("\n  "));
}

#[test]
fn folders_use_only_what_lies_below_them() {
    let sources = sources();
    let lib = sources
        .iter()
        .find(|source| source.name == "lib.rs")
        .unwrap();
    let mut wrong = Vec::new();
    for source in &sources {
        let Some(folder) = source.folder() else {
            continue;
        };
        let Some((_, allowed)) = FOLDERS.iter().find(|(name, _)| *name == folder) else {
            wrong.push(format!("src/{}: this folder is in no layer", source.name));
            continue;
        };
        for (index, line) in source.lines.iter().enumerate() {
            let is_fine = |name: &String| {
                let home = home(name, lib);
                COMMON.contains(&&**name)
                    || home.is_some_and(|home| home == folder || allowed.contains(&&*home))
            };
            let refused: Vec<_> = roots(source, index)
                .into_iter()
                .filter(|name| !is_fine(name))
                .collect();
            if !refused.is_empty() {
                wrong.push(format!(
                    "{} ({folder} may not use {refused:?})",
                    source.place(line)
                ));
            }
        }
    }
    assert_none("imports that point the wrong way", &wrong);
}

/// `super::super` from a file directly in a folder is the crate's root, and a way around the table.
#[test]
fn nobody_climbs_to_the_root_of_the_crate() {
    let sources = sources();
    let in_folder = sources
        .iter()
        .filter(|source| source.name.matches('/').count() == 1);
    let climbs = in_folder.flat_map(|source| {
        let lines = source.lines.iter();
        lines
            .filter(|line| after(&line.code, "super::super::").next().is_some())
            .map(|line| source.place(line))
    });
    assert_none("paths over the root", &climbs.collect::<Vec<_>>());
}

#[test]
fn outside_crates_stay_where_they_are_at_home() {
    let mut wrong = Vec::new();
    for source in &sources() {
        for (name, homes) in HOMES {
            if homes.iter().any(|home| source.name.starts_with(home)) {
                continue;
            }
            let path = format!("{name}::");
            let strangers = source
                .lines
                .iter()
                .filter(|line| after(&line.code, &path).next().is_some());
            wrong.extend(
                strangers.map(|line| format!("{} ({name} is not known here)", source.place(line))),
            );
        }
    }
    assert_none("crates away from home", &wrong);
}

#[test]
fn sql_is_written_in_the_store_alone() {
    let mut wrong = Vec::new();
    for source in &sources() {
        if source.name.starts_with("store/") {
            continue;
        }
        let is_sql = |line: &&Line| {
            let code = line.code.to_lowercase();
            let mut literals = code.split('"').skip(1);
            literals.any(|text| SQL.iter().any(|verb| text.starts_with(verb)))
        };
        wrong.extend(
            source
                .lines
                .iter()
                .filter(is_sql)
                .map(|line| source.place(line)),
        );
    }
    assert_none("SQL outside of the store", &wrong);
}

#[test]
fn the_reader_of_this_test_can_read() {
    let lib = Source {
        name: "lib.rs".into(),
        lines: vec![Line {
            number: 1,
            code: "pub use handler::{Context, Job};".into(),
        }],
    };
    assert_eq!(home("Job", &lib).as_deref(), Some("handler"));
    assert_eq!(home("board", &lib).as_deref(), Some("board"));
    assert_eq!(home("Jo", &lib), None);
    let group = Source {
        name: "store/read.rs".into(),
        lines: [
            "use crate::{",
            "    Error, job::{JobId, Attempt},",
            "    board,",
            "};",
        ]
        .iter()
        .zip(1..)
        .map(|(code, number)| Line {
            number,
            code: (*code).into(),
        })
        .collect(),
    };
    assert_eq!(roots(&group, 0), ["Error", "job", "board"]);
    assert_eq!(
        without_comment("let a = \"http://x\"; // crate::board"),
        "let a = \"http://x\"; "
    );
}
