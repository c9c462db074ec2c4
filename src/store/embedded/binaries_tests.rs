//! The search for binaries, in surroundings made up for it.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// A made-up file system, removed at the end.
struct Machine(PathBuf);

impl Machine {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("emb-binaries-{}-{name}", std::process::id()));
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/os-release"), "ID=debian\n").unwrap();
        Self(root)
    }

    fn with_postgres(self, folder: &str, says: &str) -> Self {
        let folder = self.0.join(folder);
        fs::create_dir_all(&folder).unwrap();
        for program in ["initdb", "postgres"] {
            let path = folder.join(program);
            fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        self
    }

    fn around(&self, chosen: Option<&str>, path: &str) -> Surroundings {
        let chosen = chosen.map(|folder| self.0.join(folder).into_os_string());
        Surroundings {
            chosen,
            path: Some(self.0.join(path).into_os_string()),
            root: self.0.clone(),
        }
    }

    fn find(&self, wanted: Option<u32>, around: &Surroundings) -> Result<Binaries, EmbeddedError> {
        Binaries::find(None, wanted, &RunAs::choose(None).unwrap(), around)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn newest_of_the_usual_folders_is_taken_unless_another_version_is_wanted() {
    let machine = Machine::new("newest")
        .with_postgres("usr/lib/postgresql/9.6/bin", "postgres (PostgreSQL) 9.6.24")
        .with_postgres(
            "usr/lib/postgresql/15/bin",
            "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)",
        )
        .with_postgres("usr/lib/postgresql/17/bin", "postgres (PostgreSQL) 17beta1");
    let around = machine.around(None, "nowhere");
    assert_eq!(machine.find(None, &around).unwrap().major, 17);
    assert_eq!(
        machine.find(Some(15), &around).unwrap().folder,
        machine.0.join("usr/lib/postgresql/15/bin")
    );
    assert_eq!(machine.find(Some(14), &around).unwrap().major, 17);
}

#[test]
fn chosen_folder_wins_over_path_and_is_never_passed_over() {
    let machine = Machine::new("chosen")
        .with_postgres("mine", "postgres (PostgreSQL) 13.1")
        .with_postgres("old", "postgres (PostgreSQL) 12.22")
        .with_postgres("path", "postgres (PostgreSQL) 16.1");
    assert_eq!(
        machine
            .find(None, &machine.around(None, "path"))
            .unwrap()
            .major,
        16
    );
    assert_eq!(
        machine
            .find(None, &machine.around(Some("mine"), "path"))
            .unwrap()
            .major,
        13
    );
    let error = machine
        .find(None, &machine.around(Some("old"), "path"))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("too old: postgres (PostgreSQL) 12.22"),
        "{error}"
    );
    assert!(!error.to_string().contains("PATH"), "{error}");
}

#[test]
fn folder_of_links_is_followed_to_the_real_one() {
    let machine = Machine::new("links").with_postgres("real", "postgres (PostgreSQL) 16.1");
    fs::create_dir(machine.0.join("path")).unwrap();
    for program in ["initdb", "postgres"] {
        std::os::unix::fs::symlink(
            machine.0.join("real").join(program),
            machine.0.join("path").join(program),
        )
        .unwrap();
    }
    let found = machine.find(None, &machine.around(None, "path")).unwrap();
    assert_eq!(
        found.folder,
        fs::canonicalize(machine.0.join("real")).unwrap()
    );
}

#[test]
fn without_binaries_the_error_says_where_it_looked_and_what_to_do() {
    let machine = Machine::new("none");
    let error = machine
        .find(None, &machine.around(None, "path"))
        .unwrap_err();
    assert!(error.is_no_binaries());
    let text = error.to_string();
    let places = [
        "PATH: ",
        "usr/lib/postgresql/*/bin: no `initdb`",
        "opt/homebrew/opt/postgresql@*/bin",
        "Postgres.app",
    ];
    let advice = [
        "version 13 or newer",
        "`apt-get install -y postgresql`",
        "CALLBOARD_PG_BIN",
        "DATABASE_URL",
    ];
    for part in places.into_iter().chain(advice) {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}
